/** Model-based: whatever happens, nothing is consumed with fewer distinct eligible people than needed. Against the real database. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { type Ctx, isCode, makeCtx, newId } from '../kernel/index.ts'
import type { Aal, Principal } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { bypassApproval, consumeApproval, decideApproval, requestApproval, takeBack, withdrawApproval } from './approval.actions.ts'
import { approvalDigest, type Factor } from './approval.model.ts'
import { sweepApprovals } from './approval.sweep.ts'
import {
  addTeamMembers,
  joinIdentity,
  leaveIdentity,
  moveIdentity,
  offboardIdentity,
  putTeam,
  removeTeamMembers,
  resumeIdentity,
  setTeamMembers,
  suspendIdentity,
} from './index.ts'
import { putPair } from './person.store.ts'

let db: TestDatabase
let nowMs = Date.UTC(2026, 0, 1)
const ctx: Ctx = makeCtx('test', 'test', { clock: { now: () => new Date(nowMs), monotonicMs: () => nowMs } })
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const PEOPLE = 6
const TEAMS = 3
const HOUR_MS = 3_600_000

const who = fc.nat(PEOPLE - 1)
const team = fc.nat(TEAMS - 1)
const Step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('approve' as const), who, aal: fc.constantFrom<Aal>(1, 2, 3), passkey: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('consume' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'leave' as const), who, team }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('suspend' as const, 'resume' as const, 'takeBack' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('reject' as const, 'offboard' as const, 'leaver' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('nest' as const), team, into: team }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('same' as const, 'other' as const, 'address' as const), who, and: who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('withdraw' as const, 'sweep' as const, 'bypassByProgram' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), hours: fc.constantFrom(1, 10, 30) }) },
)
type Step = typeof Step extends fc.Arbitrary<infer T> ? T : never

const FactorOf = fc.record({
  team,
  count: fc.integer({ min: 1, max: 2 }),
  aal: fc.constantFrom(1 as const, 2 as const, 3 as const),
  passkey: fc.boolean(),
})

/** What is true, kept apart from the code under test. */
interface Truth {
  members: Set<number>[]
  nested: Set<number>[]
  status: ('active' | 'suspended' | 'offboarded')[]
  /** Whom is said, or seems, to be whom: `1 2` for two identities of one human, or of two. */
  said: Map<string, boolean>
  shared: Set<string>
  frozen: Set<number>[]
  approvals: Map<number, { aal: Aal; passkey: boolean }>
  expiresMs: number
  ended: boolean
  /** Whom it is about; null: nobody. */
  about: number | null
}

const below = (truth: Truth, at: number, seen = new Set<number>()): Set<number> => {
  if (!seen.has(at)) {
    seen.add(at)
    for (const child of truth.nested[at] ?? []) below(truth, child, seen)
  }
  return seen
}
const isIn = (truth: Truth, person: number, at: number) => [...below(truth, at)].some((one) => truth.members[one]?.has(person))

const pairOf = (a: number, b: number) => `${Math.min(a, b)} ${Math.max(a, b)}`

/** All identities of the human of one. */
function human(truth: Truth, one: number): Set<number> {
  const found = new Set([one])
  for (let before = 0; before < found.size; ) {
    before = found.size
    for (const each of [...found]) {
      for (let n = 0; n < PEOPLE; n++) {
        const pair = pairOf(each, n)
        if (truth.said.get(pair) ?? truth.shared.has(pair)) found.add(n)
      }
    }
  }
  return found
}

/** Whether one is a human who asks, or whom it is about: neither counts. */
function concerned(truth: Truth, person: number): boolean {
  const selves = human(truth, person)
  return selves.has(0) || (truth.about !== null && selves.has(truth.about))
}

/** Tries every way of giving places to people: slow and plain, where the code is neither. */
function enough(truth: Truth, factors: readonly { team: number; count: number; aal: number; passkey: boolean }[]): boolean {
  const places = factors.flatMap((factor, at) => Array.from({ length: factor.count }, () => ({ ...factor, at })))
  const place = (n: number, used: ReadonlySet<number>): boolean => {
    const wanted = places[n]
    if (wanted === undefined) return true
    return [...truth.approvals].some(([person, proof]) => {
      const fits =
        !concerned(truth, person) &&
        [...human(truth, person)].every((one) => !used.has(one)) &&
        truth.status[person] === 'active' &&
        truth.frozen[wanted.at]?.has(person) &&
        isIn(truth, person, wanted.team) &&
        proof.aal >= wanted.aal &&
        (proof.passkey || !wanted.passkey)
      return fits && place(n + 1, new Set([...used, person]))
    })
  }
  return places.length > 0 && place(0, new Set())
}

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)

/** True if it was done, false if it was refused; any error of another kind fails the test. */
async function attempt(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act()
    return true
  } catch (error) {
    const refusals = ['forbidden', 'not_found', 'wrong_state', 'conflict', 'bad_input', 'step_up_required', 'approval_required'] as const
    if (refusals.some((code) => isCode(error, code))) return false
    throw error
  }
}

class World {
  readonly people: string[] = []
  readonly teams: string[] = []
  readonly truth: Truth = {
    members: Array.from({ length: TEAMS }, () => new Set<number>()),
    nested: Array.from({ length: TEAMS }, () => new Set<number>()),
    status: Array.from({ length: PEOPLE }, () => 'active' as const),
    said: new Map(),
    shared: new Set(),
    frozen: [],
    approvals: new Map(),
    expiresMs: 0,
    ended: false,
    about: null,
  }
  readonly addresses: (string | undefined)[] = []
  consumed = 0

  static async make(members: readonly (readonly number[])[]): Promise<World> {
    const world = new World()
    await tx(async (tx) => {
      for (let n = 0; n < PEOPLE; n++) {
        world.people.push(await joinIdentity(tx, ctx, { name: `p${n} ${newId()}`, kind: 'human', source: 'api' }))
      }
      for (let n = 0; n < TEAMS; n++) {
        const id = await putTeam(tx, ctx, { name: `t${n} ${newId()}` })
        world.teams.push(id)
        await setTeamMembers(tx, ctx, id, { identities: (members[n] ?? []).map((one) => world.people[one] ?? '') })
        for (const one of members[n] ?? []) world.truth.members[n]?.add(one)
      }
    })
    return world
  }

  by(person: number, aal: Aal = 2): Principal {
    const id = this.people[person] ?? ''
    return principal({ id, identity: id, kind: 'person', name: `p${person}`, aal, authenticatedAt: ctx.clock.now() })
  }

  /** Person 0, through what stands on record as made by them. */
  async asker(tx: Tx, through: string): Promise<Principal> {
    if (through === 'herself') return this.by(0)
    if (through === 'token') return principal({ id: newId(), makers: [this.person(0)] })
    const owned = { kind: 'workload', owner: { kind: 'person', id: this.person(0) }, purpose: 'tests', environment: 'test' } as const
    const program = await joinIdentity(tx, ctx, { name: `w ${newId()}`, source: 'api', ...owned })
    if (through === 'token of a program') return principal({ id: newId(), identity: program, makers: null })
    return principal({ id: newId(), makers: [program] })
  }

  /** What it is about: person `n`, or what is theirs. */
  async about(tx: Tx, n: number, through: string): Promise<string> {
    if (through === 'herself') return this.person(n)
    const owned = { kind: 'workload', owner: { kind: 'person', id: this.person(n) }, purpose: 'tests', environment: 'test' } as const
    if (through.endsWith('program')) return joinIdentity(tx, ctx, { name: `a ${newId()}`, source: 'api', ...owned })
    const id = await putTeam(tx, ctx, { name: `a ${newId()}` })
    await setTeamMembers(tx, ctx, id, { identities: [this.person(n)] })
    return id
  }

  person = (n: number) => this.people[n] ?? ''
  team = (n: number) => this.teams[n] ?? ''
}

const asked = { action: 'identity:offboard', subject: 'ada', what: { identity: 'ada', reason: 'left' }, words: 'End ada.' } as const

test('nothing that happens lets it through with fewer distinct eligible people than needed, and enough of them always do', async () => {
  let consumed = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uniqueArray(who, { minLength: 2 }), { minLength: TEAMS, maxLength: TEAMS }),
      fc.array(FactorOf, { minLength: 1, maxLength: 2 }),
      fc.array(Step, { minLength: 5, maxLength: 30 }),
      fc.array(fc.tuple(who, who), { maxLength: 2 }),
      fc.constantFrom('herself', 'token', 'token of a token', 'token of a program'),
      fc.option(who),
      async (members, wanted, steps, twins, through, about) => {
        const world = await World.make(members)
        const { truth } = world
        for (const [one, other] of twins) await happen(world, { do: 'same', who: one, and: other })
        // Person 0 asks, logged in or through a token, and so is never counted, whatever team it is in; nor is whom it is about, nor
        // whoever is known then to be the same human.
        truth.about = about
        truth.frozen = wanted.map(
          ({ team }) => new Set([...Array(PEOPLE).keys()].filter((n) => !concerned(truth, n) && isIn(truth, n, team))),
        )
        truth.expiresMs = nowMs + 24 * HOUR_MS
        const factors: Factor[] = wanted.map((factor) => ({ ...factor, team: world.team(factor.team) }))
        let id = ''
        const made = await attempt(async () => {
          const requestedBy = await tx((tx) => world.asker(tx, through))
          const those = about === null ? [] : [await tx((tx) => world.about(tx, about, through))]
          id = await tx((tx) => requestApproval(tx, ctx, { ...asked, about: those, factors, expiresSeconds: 24 * 3_600, requestedBy }))
        })
        const everybody = { ...truth, approvals: new Map([...Array(PEOPLE).keys()].map((n) => [n, { aal: 3 as Aal, passkey: true }])) }
        expect(made).toBe(enough(everybody, wanted))
        if (!made) return void refused++
        for (const step of steps) await run(world, id, wanted, step)
        consumed += world.consumed
      },
    ),
    { numRuns: 120, endOnFailure: false },
  )
  // The property would hold of an engine that never lets anything through.
  expect(consumed).toBeGreaterThan(3)
  expect(refused).toBeGreaterThan(3)
}, 300_000)

async function run(
  world: World,
  id: string,
  wanted: readonly { team: number; count: number; aal: number; passkey: boolean }[],
  step: Step,
) {
  const { truth } = world
  const open = () => !truth.ended && nowMs < truth.expiresMs
  const digest = approvalDigest(asked)
  switch (step.do) {
    case 'approve': {
      const assertion = step.passkey ? { credentialId: 'key', digest, at: ctx.clock.now() } : null
      const input = { decision: 'approve', reason: 'fine', digest, assertion } as const
      const done = await attempt(() => tx((tx) => decideApproval(tx, ctx, world.by(step.who, step.aal), id, input)))
      if (done) {
        expect(open() && !concerned(truth, step.who) && !truth.approvals.has(step.who)).toBe(true)
        truth.approvals.set(step.who, { aal: step.aal, passkey: step.passkey })
      }
      return
    }
    case 'reject': {
      const input = { decision: 'reject', reason: 'no', digest, assertion: null } as const
      if (await attempt(() => tx((tx) => decideApproval(tx, ctx, world.by(step.who), id, input)))) {
        expect(open() && !concerned(truth, step.who)).toBe(true)
        truth.ended = true
      }
      return
    }
    case 'takeBack': {
      const done = await attempt(() => tx((tx) => takeBack(tx, ctx, world.by(step.who), id, 'thought again')))
      expect(done).toBe(open() && truth.approvals.has(step.who))
      if (done) truth.approvals.delete(step.who)
      return
    }
    case 'consume': {
      const should = open() && enough(truth, wanted)
      expect(await attempt(() => tx((tx) => consumeApproval(tx, ctx, id, digest)))).toBe(should)
      if (should) {
        truth.ended = true
        world.consumed++
      }
      return
    }
    case 'withdraw':
      if (await attempt(() => tx((tx) => withdrawApproval(tx, ctx, world.by(0), id, 'never mind')))) truth.ended = true
      return
    case 'bypassByProgram': {
      const program = principal({ kind: 'agent', id: newId(), identity: newId() })
      expect(await attempt(() => tx((tx) => bypassApproval(tx, ctx, program, id, { reason: 'it is an emergency', digest })))).toBe(false)
      return
    }
    case 'sweep':
      return void (await sweepApprovals(db.store, ctx))
    case 'wait':
      nowMs += step.hours * HOUR_MS
      return
    default:
      return happen(world, step)
  }
}

/** What happens in the record meanwhile. */
async function happen(world: World, step: Step): Promise<void> {
  const { truth, person, team } = world
  if (step.do === 'join' || step.do === 'leave') {
    const change = step.do === 'join' ? addTeamMembers : removeTeamMembers
    await tx((tx) => change(tx, ctx, team(step.team), { identities: [person(step.who)] }))
    if (step.do === 'join') truth.members[step.team]?.add(step.who)
    else truth.members[step.team]?.delete(step.who)
  }
  if (step.do === 'nest') {
    if (await attempt(() => tx((tx) => addTeamMembers(tx, ctx, team(step.into), { teams: [team(step.team)] })))) {
      truth.nested[step.into]?.add(step.team)
    }
  }
  if (step.do === 'same' || step.do === 'other') {
    if (step.who === step.and) return
    const pair = { one: person(step.who), other: person(step.and), same: step.do === 'same', at: ctx.clock.now(), by: 'test', reason: 'x' }
    await tx((tx) => putPair(tx, pair))
    truth.said.set(pairOf(step.who, step.and), pair.same)
  }
  if (step.do === 'address') {
    // Told apart by case alone, which addresses are not.
    const [mine, theirs] = [`P${step.who} ${person(0)}`, `p${step.who} ${person(0)}`]
    for (const [at, email] of [[step.who, mine] as const, [step.and, theirs] as const]) {
      // Of one who was offboarded nothing changes any more.
      const moved = await attempt(() => tx((tx) => moveIdentity(tx, ctx, person(at), { labels: { email } })))
      if (moved) world.addresses[at] = mine.toLowerCase()
    }
    truth.shared.clear()
    for (let a = 0; a < PEOPLE; a++) {
      for (let b = 0; b < a; b++) if (world.addresses[a] && world.addresses[a] === world.addresses[b]) truth.shared.add(pairOf(a, b))
    }
  }
  if (step.do === 'suspend' || step.do === 'resume' || step.do === 'offboard' || step.do === 'leaver') {
    const act = { suspend: suspendIdentity, resume: resumeIdentity, offboard: offboardIdentity, leaver: leaveIdentity }[step.do]
    const done = await attempt(() => tx((tx) => act(tx, ctx, person(step.who), 'it happens')))
    if (!done) return
    const gone = truth.status[step.who] === 'offboarded' || step.do === 'offboard'
    truth.status[step.who] = gone ? 'offboarded' : step.do === 'resume' ? 'active' : 'suspended'
  }
}

/** Model-based: whatever is changed, nested and bound, nobody comes to both hands unforced, and nobody raises their own rights. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId } from '../kernel/index.ts'
import { Policies, type Principal } from '../policy/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { boundFor } from './delegate.ts'
import { ensurePolicySet } from './index.ts'
import { joinIdentity } from './lifecycle.join.ts'
import { bindRole, unbindRole } from './role.actions.ts'
import { addProvider, revokeProvider, rotateProviderToken } from './scim/provider.ts'
import { settleHands } from './scim/way.ts'
import { addTeamMembers, putTeam, removeTeamMembers } from './team.actions.ts'
import { changeTeam } from './team.change.ts'
import { createToken } from './token.actions.ts'

let db: TestDatabase
let policies: Policies
const ctx = makeCtx('test', 'test')
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
beforeAll(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
})
afterAll(() => db.drop())

const PEOPLE = 2
/** The last one is kept by a directory. */
const TEAMS = 3
const GIVEN = TEAMS - 1
const ROLES = ['directory-admin', 'credential-admin', 'operator', 'auditor'] as const
const HAND = { 'directory-admin': 'directory', 'credential-admin': 'credential', operator: 'credential', auditor: null } as const

const who = fc.nat(PEOPLE - 1)
const team = fc.oneof(fc.nat(TEAMS - 1), fc.constant(GIVEN))
const Subject = fc.oneof(
  fc.record({ kind: fc.constant('team' as const), at: team }),
  fc.record({ kind: fc.constant('identity' as const), at: who }),
  fc.record({ kind: fc.constant('token' as const), at: who }),
)
const Step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('add' as const, 'remove' as const), who, team, force: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('nest' as const, 'unnest' as const), team, into: team, force: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('bind' as const), subject: Subject, role: fc.constantFrom(...ROLES), force: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unbind' as const), at: fc.nat(20) }) },
  // The token of a directory: somebody who may makes another one, or it is revoked.
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rotate' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const) }) },
)
/** Half of them begin with somebody who keeps a directory's token when the role is taken away. */
const KEPT: readonly Step[] = [
  { do: 'bind', subject: { kind: 'identity', at: 0 }, role: 'directory-admin', force: false },
  { do: 'rotate', who: 0 },
  { do: 'unbind', at: 0 },
]
const Steps = fc
  .tuple(fc.boolean(), fc.array(Step, { minLength: 10, maxLength: 25 }))
  .map(([kept, steps]) => [...(kept ? KEPT : []), ...steps])
type Step = typeof Step extends fc.Arbitrary<infer T> ? T : never

/** True if it was done, false if it was refused; any error of another kind fails the test. */
async function attempt(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act()
    return true
  } catch (error) {
    if ((['forbidden', 'not_found', 'wrong_state', 'conflict', 'bad_input'] as const).some((code) => isCode(error, code))) return false
    throw error
  }
}

type Role = (typeof ROLES)[number]
interface Bound {
  readonly id: string
  readonly kind: 'team' | 'identity' | 'token'
  readonly at: number
  readonly role: Role
}

/** What is true, kept apart from the code under test, and plainly. */
class World {
  readonly people: string[] = []
  readonly teams: string[] = []
  readonly tokens: string[] = []
  readonly members = new Set<string>()
  readonly nested = new Set<string>()
  bound: Bound[] = []
  readonly directory = `dir-${newId()}`
  /** Who made the token of the directory that is good. */
  maker: number | null = null

  async start(): Promise<void> {
    for (let n = 0; n < PEOPLE; n++) {
      const id = await db.store.inTx((tx) => joinIdentity(tx, ctx, { name: `p-${newId()}`, kind: 'human', source: 'api' }))
      this.people.push(id)
      const input = { scope: ['status:read'], environments: null, expiresSeconds: null, actsFor: null, reason: 'tests', force: false }
      const by = await this.asker(n)
      const may = allowed(ctx, 'token:create')
      const made = await createToken({ store: db.store, policies }, ctx, may, by, {
        ...input,
        name: `t-${newId()}`,
        roles: [],
        identity: id,
      })
      this.tokens.push(made.id)
    }
    await addProvider(db.store, ctx, allowed(ctx, 'scim:configure'), { name: this.directory })
    for (let n = 0; n < TEAMS; n++) {
      const source = n === GIVEN ? { source: 'scim:idp', externalId: newId() } : {}
      this.teams.push(await db.store.inTx((tx) => putTeam(tx, ctx, { name: `team-${newId()}`, ...source })))
    }
  }

  async asker(at: number): Promise<Principal> {
    const best = await boundFor(db.store, this.people[at] ?? '', ctx.clock.now(), { scope: null, environments: null })
    if (best === null) throw new Error('somebody is gone')
    return best
  }

  teamsOf(person: number): Set<number> {
    const found = new Set([...this.teams.keys()].filter((at) => this.members.has(`${person} ${at}`)))
    for (const at of found) for (const into of this.teams.keys()) if (this.nested.has(`${at} ${into}`)) found.add(into)
    return found
  }

  rolesOf(person: number): Set<Role> {
    const teams = this.teamsOf(person)
    const mine = this.bound.filter(({ kind, at }) => (kind === 'team' ? teams.has(at) : at === person))
    return new Set(mine.map(({ role }) => role))
  }

  both(): string[] {
    return this.people.filter((_, at) => {
      const hands = new Set([...[...this.rolesOf(at)].map((role) => HAND[role]), ...(this.maker === at ? ['directory'] : [])])
      return hands.has('directory') && hands.has('credential')
    })
  }

  /** Does the step as `by`; resolves with whether it was done. What the directory says is done always, or is not possible. */
  async step(step: Step, by: Principal): Promise<boolean> {
    const why = { reason: 'a reason that is long enough', force: 'force' in step && step.force }
    const change = (at: number, lists: object) =>
      changeTeam({ store: db.store, policies }, ctx, allowed(ctx, 'team:change'), by, this.teams[at] ?? '', {
        add: {},
        remove: {},
        ...lists,
        ...why,
      })
    switch (step.do) {
      case 'add':
      case 'remove': {
        const list = { identities: [this.people[step.who] ?? ''] }
        const key = `${step.who} ${step.team}`
        const given = step.do === 'add' ? addTeamMembers : removeTeamMembers
        const byDirectory = async (tx: Tx) => {
          await given(tx, ctx, this.teams[GIVEN] ?? '', list)
          await settleHands(tx, this.teams[GIVEN] ?? '')
        }
        const act = () => (step.team === GIVEN ? db.store.inTx(byDirectory) : change(step.team, { [step.do]: list }))
        if (!(await attempt(act))) return false
        if (step.do === 'add') this.members.add(key)
        else this.members.delete(key)
        return true
      }
      case 'nest':
      case 'unnest': {
        const list = { teams: [this.teams[step.team] ?? ''] }
        if (!(await attempt(() => change(step.into, { [step.do === 'nest' ? 'add' : 'remove']: list })))) return false
        if (step.do === 'nest') this.nested.add(`${step.team} ${step.into}`)
        else this.nested.delete(`${step.team} ${step.into}`)
        return true
      }
      case 'bind': {
        const { subject, role } = step
        const ids = { team: this.teams, identity: this.people, token: this.tokens }[subject.kind]
        const input = { role, kind: subject.kind, subject: ids[subject.at] ?? '', ...why }
        let id = ''
        const done = await attempt(async () => {
          id = (await bindRole(db.store, ctx, allowed(ctx, 'role:bind'), by, policies, input)).id
        })
        if (done) this.bound.push({ id, ...subject, role })
        return done
      }
      case 'rotate': {
        const asker = await this.asker(step.who)
        if (!policies.explain(ctx, asker, 'scim:configure').allowed) return false
        await revokeProvider(db.store, ctx, allowed(ctx, 'scim:configure'), this.directory)
        const behind = { behind: [this.people[step.who] ?? ''] }
        await rotateProviderToken(db.store, makeCtx('test', 'test', behind), allowed(ctx, 'scim:configure'), this.directory)
        this.maker = step.who
        return true
      }
      case 'revoke':
        await revokeProvider(db.store, ctx, allowed(ctx, 'scim:configure'), this.directory)
        this.maker = null
        return true
      case 'unbind': {
        const one = this.bound[step.at]
        if (one === undefined) return false
        const done = await attempt(() =>
          unbindRole(db.store, ctx, allowed(ctx, 'role:unbind'), policies.set, one.id, { reason: 'done with it', force: false }),
        )
        if (done) this.bound = this.bound.filter(({ id }) => id !== one.id)
        return done
      }
    }
  }
}

const forcedNow = async () =>
  new Set((await db.store.query<{ id: string }>('select identity_id as id from both_hands')).map(({ id }) => id))

test('no sequence of memberships, nestings and bindings gives anybody both hands without a forced reason on record', async () => {
  await fc.assert(
    fc.asyncProperty(Steps, async (steps) => {
      const world = new World()
      await world.start()
      for (const step of steps) {
        const before = world.both()
        const done = await world.step(step, admin)
        const fresh = world.both().filter((id) => !before.includes(id))
        const given = step.do === 'add' && step.team === GIVEN
        if (done && fresh.length > 0 && !given) expect('force' in step && step.force).toBe(true)
        const forced = await forcedNow()
        for (const [at, id] of world.people.entries()) {
          const asker = await world.asker(at)
          const may = (action: 'identity:join' | 'rotation:start') => policies.explain(ctx, asker, action).allowed
          // By their own login; the roles of their tokens are in the count of `both` above.
          if (may('identity:join') && may('rotation:start')) expect([id, forced.has(id)]).toEqual([id, true])
          if (!given && !world.both().includes(id)) expect(forced.has(id)).toBe(false)
        }
      }
    }),
    // A smaller failure would take minutes to find on a real database.
    { numRuns: 15, endOnFailure: true },
  )
})

test('nobody raises their own rights: through no team, token or program that they stand behind', async () => {
  await fc.assert(
    fc.asyncProperty(Steps, fc.boolean(), async (steps, throughToken) => {
      const world = new World()
      await world.start()
      const [self = '', other = ''] = world.people
      const own = principal({ id: world.tokens[0] ?? '', identity: null, makers: [self], roles: ['security-admin', 'directory-admin'] })
      for (const [n, step] of steps.entries()) {
        // Now and then somebody else changes something, so that there are teams with roles and people in them.
        if (n % 3 === 0) {
          await world.step(step, admin)
          continue
        }
        const before = world.rolesOf(0)
        const login = { ...(await world.asker(0)), roles: ['security-admin', 'directory-admin'] }
        await world.step(step, throughToken ? own : login)
        // What a directory says is its own doing.
        if ('team' in step && step.do === 'add' && step.team === GIVEN) continue
        expect([...world.rolesOf(0)].filter((role) => !before.has(role))).toEqual([])
      }
      expect(other).not.toBe(self)
    }),
    // A smaller failure would take minutes to find on a real database.
    { numRuns: 15, endOnFailure: true },
  )
})

import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { type Ctx, type ErrorCode, isCode, makeCtx, newId } from '../kernel/index.ts'
import { type Principal, StepUpRequired } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import {
  bypassApproval,
  consumeApproval,
  type DecisionInput,
  decideApproval,
  type NewApproval,
  requestApproval,
  takeBack,
  withdrawApproval,
} from './approval.actions.ts'
import {
  APPROVAL_STATES,
  type Approvable,
  type ApprovalState,
  approvalDigest,
  type Factor,
  missing,
  NEXT_APPROVAL,
  parseFactors,
} from './approval.model.ts'
import { sweepApprovals } from './approval.sweep.ts'
import { addTeamMembers, joinIdentity, moveIdentity, offboardIdentity, putTeam, removeTeamMembers, suspendIdentity } from './index.ts'

let db: TestDatabase
let nowMs = Date.UTC(2026, 0, 1)
const ctx: Ctx = makeCtx('test', 'test', { clock: { now: () => new Date(nowMs), monotonicMs: () => nowMs } })
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const code = (wanted: ErrorCode) => (error: unknown) => isCode(error, wanted)
const join = (kind: 'human' | 'agent' | 'workload' = 'human', owner?: string) =>
  tx((tx) =>
    joinIdentity(tx, ctx, {
      name: `x ${newId()}`,
      kind,
      source: 'api',
      ...(kind === 'human' ? {} : { purpose: 'test', environment: 'test', owner: { kind: 'person', id: owner ?? '' } as const }),
    }),
  )
const team = async (members: readonly string[]) => {
  const id = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, id, { identities: members }))
  return id
}
const person = (id: string, changes: Partial<Principal> = {}): Principal =>
  principal({ id, identity: id, kind: 'person', name: 'somebody', aal: 2, authenticatedAt: ctx.clock.now(), ...changes })
const what: Approvable = { action: 'identity:offboard', subject: 'ada', what: { identity: 'x', reason: 'left' }, words: 'End ada.' }
const digest = approvalDigest(what)
const factor = (team: string, changes: Partial<Factor> = {}): Factor => ({ team, count: 1, aal: 2, passkey: false, ...changes })
const ask = (factors: readonly Factor[], changes: Partial<NewApproval> = {}) =>
  tx((tx) => requestApproval(tx, ctx, { ...what, factors, expiresSeconds: 24 * 3_600, requestedBy: person(asker), ...changes }))
const decide = (by: Principal | string, id: string, changes: Partial<DecisionInput> = {}) =>
  tx((tx) =>
    decideApproval(tx, ctx, typeof by === 'string' ? person(by) : by, id, {
      decision: 'approve',
      reason: 'it is right',
      digest,
      assertion: null,
      ...changes,
    }),
  )
const consume = (id: string, of = digest) => tx((tx) => consumeApproval(tx, ctx, id, of))
const events = (id: string) =>
  db.store.query<{ type: string; data: Record<string, unknown> }>(
    `select body::jsonb ->> 'type' as type, body::jsonb -> 'data' as data from evidence_event
      where body::jsonb -> 'links' ->> 'approval' = $1 order by id`,
    [id],
  )
const types = async (id: string) => (await events(id)).map(({ type }) => type)

let asker = ''
let ada = ''
let bob = ''
let eve = ''
let crew = ''
beforeEach(async () => {
  asker = await join()
  ada = await join()
  bob = await join()
  eve = await join()
  crew = await team([asker, ada, bob])
})

test('approved by enough people, and used up once, with every step on record', async () => {
  const id = await ask([factor(crew, { count: 2 })])
  expect((await decide(ada, id)).state).toBe('requested')
  expect((await decide(bob, id)).state).toBe('approved')
  expect(await consume(id)).toEqual({ id, approvedBy: expect.arrayContaining([ada, bob]), bypassedBy: null })
  await expect(consume(id)).rejects.toSatisfy(code('wrong_state'))
  expect(await types(id)).toEqual(['approval.requested', 'approval.decided', 'approval.decided', 'approval.approved', 'approval.consumed'])
  expect((await events(id))[1]?.data).toMatchObject({ by: ada, aal: 2, decision: 'approve', reason: 'it is right', digest })
})

test('two that use up the same approval at the same moment: one does', async () => {
  for (let round = 0; round < 10; round++) {
    const id = await ask([factor(crew)])
    await decide(ada, id)
    const done = await Promise.allSettled([consume(id), consume(id), consume(id)])
    expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of done) if (one.status === 'rejected') expect(isCode(one.reason, 'wrong_state')).toBe(true)
  }
})

test('whoever uses it up and fails has not used it up', async () => {
  const id = await ask([factor(crew)])
  await decide(ada, id)
  const fails = tx(async (tx) => {
    await consumeApproval(tx, ctx, id, digest)
    throw new Error('what was approved could not be done')
  })
  await expect(fails).rejects.toThrow('could not be done')
  await consume(id)
})

test('a suspension or a removal that is under way while it is used up comes before or after, never in between', async () => {
  for (let round = 0; round < 10; round++) {
    const who = await join()
    const group = await team([who])
    const id = await ask([factor(group)])
    await decide(who, id)
    const order: string[] = []
    const remove = tx(async (tx) => {
      if (round % 2 === 0) await suspendIdentity(tx, ctx, who, 'gone')
      else await removeTeamMembers(tx, ctx, group, { identities: [who] })
    }).then(() => order.push('removed'))
    const use = tx(async (tx) => {
      await consumeApproval(tx, ctx, id, digest)
      // What was approved takes its time; the removal waits for the end of it.
      await new Promise((resolve) => setTimeout(resolve, 20))
      order.push('used')
    })
    const used = await use.then(
      () => true,
      (error: unknown) => !isCode(error, 'approval_required'),
    )
    await remove
    expect(order).toEqual(used ? ['used', 'removed'] : ['removed'])
  }
})

test('nobody approves their own: not the requester, nor through another login, nor whose agent or program asked', async () => {
  const own = await ask([factor(crew)])
  await expect(decide(asker, own)).rejects.toSatisfy(code('forbidden'))
  await expect(decide(person(asker, { id: 'another-login' }), own)).rejects.toSatisfy(code('forbidden'))
  const agent = await join('agent', eve)
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [eve] }))
  const requestedBy = principal({ id: agent, identity: agent, kind: 'agent', actsFor: { identity: ada } })
  const through = await ask([factor(crew)], { requestedBy })
  await expect(decide(ada, through), 'the agent acts for her').rejects.toSatisfy(code('forbidden'))
  await expect(decide(eve, through), 'the agent is hers').rejects.toSatisfy(code('forbidden'))
  await decide(bob, through)
})

test('who comes to own the requesting program later does not count either', async () => {
  const agent = await join('agent', eve)
  const id = await ask([factor(crew)], { requestedBy: principal({ id: agent, identity: agent, kind: 'agent' }) })
  await decide(ada, id)
  await tx((tx) => moveIdentity(tx, ctx, agent, { owner: { kind: 'person', id: ada } }))
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
})

test('programs, agents and tokens decide nothing, even in the team and under the id of somebody who was asked', async () => {
  const id = await ask([factor(crew)])
  for (const kind of ['agent', 'workload', 'machine', 'token'] as const) {
    await expect(decide(person(ada, { kind }), id)).rejects.toSatisfy(code('forbidden'))
  }
  await expect(decide(person(ada, { actsFor: { identity: bob } }), id)).rejects.toSatisfy(code('forbidden'))
})

test('for whoever was not asked it is not there, in the same words as what is not there', async () => {
  const id = await ask([factor(crew)])
  const said = async (by: string, it: string) => decide(by, it).catch((error: Error) => error.message)
  expect(await said(eve, id)).toBe(await said(eve, newId()))
  await expect(tx((tx) => withdrawApproval(tx, ctx, person(ada), id, 'mine'))).rejects.toSatisfy(code('not_found'))
  await expect(tx((tx) => takeBack(tx, ctx, person(eve), id, 'mine'))).rejects.toSatisfy(code('not_found'))
})

test('who joins the team after the request does not count; who leaves it counts no more, and again when back', async () => {
  const id = await ask([factor(crew)])
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [eve] }))
  await expect(decide(eve, id)).rejects.toSatisfy(code('not_found'))
  await decide(ada, id)
  await tx((tx) => removeTeamMembers(tx, ctx, crew, { identities: [ada] }))
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
  await sweepApprovals(db.store, ctx)
  expect((await types(id)).at(-1)).toBe('approval.fell_short')
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [ada] }))
  await consume(id)
})

test('one person in two teams counts for one of them; people are placed so that it works out', async () => {
  const [first, second] = [await team([ada, bob]), await team([ada])]
  const id = await ask([factor(first), factor(second)])
  expect((await decide(ada, id)).state).toBe('requested')
  expect((await decide(bob, id)).state).toBe('approved')
  await expect(ask([factor(await team([ada])), factor(second)]), 'one person for two places').rejects.toSatisfy(code('bad_input'))
})

test('a login that is too weak for every factor is asked to step up, and counts where it is enough', async () => {
  const id = await ask([factor(crew, { aal: 3 })])
  await expect(decide(ada, id)).rejects.toSatisfy((error) => error instanceof StepUpRequired && error.stepUp.aal === 3)
  expect((await decide(person(ada, { aal: 3 }), id)).state).toBe('approved')
})

test('a passkey must have signed this very digest, and just now', async () => {
  const id = await ask([factor(crew, { passkey: true })])
  await expect(decide(ada, id)).rejects.toMatchObject({ code: 'step_up_required', hint: expect.stringContaining('in the console') })
  const assertion = { credentialId: 'key-1', digest, at: ctx.clock.now() }
  await expect(decide(ada, id, { assertion: { ...assertion, digest: 'f'.repeat(64) } })).rejects.toSatisfy(code('conflict'))
  const old = new Date(nowMs - 301_000)
  await expect(decide(ada, id, { assertion: { ...assertion, at: old } })).rejects.toSatisfy(code('conflict'))
  expect((await decide(ada, id, { assertion })).state).toBe('approved')
  expect((await events(id))[1]?.data).toMatchObject({ passkey: 'key-1', passkeyAt: assertion.at.toISOString() })
})

test('another letter of what is approved, of its words or its action is another approval', async () => {
  const others: Approvable[] = [
    { ...what, words: 'End ada!' },
    { ...what, what: { identity: 'x', reason: 'left.' } },
    { ...what, subject: 'adb' },
    { ...what, action: 'role:bind' },
  ]
  for (const other of others) expect(approvalDigest(other)).not.toBe(digest)
  const id = await ask([factor(crew)])
  await expect(decide(ada, id, { digest: 'f'.repeat(64) })).rejects.toSatisfy(code('conflict'))
  await decide(ada, id)
  for (const other of others) await expect(consume(id, approvalDigest(other))).rejects.toSatisfy(code('conflict'))
})

test('a row whose content was exchanged under an approved digest is not used', async () => {
  const id = await ask([factor(crew)])
  await decide(ada, id)
  await db.store.query(`update approval set what = '{"identity":"y","reason":"left"}' where id = $1`, [id])
  await expect(consume(id)).rejects.toSatisfy(code('conflict'))
})

test('a request without factors in the database is approved by nobody', async () => {
  const id = await ask([factor(crew)])
  await db.store.query('delete from approval_approver where approval_id = $1', [id])
  await db.store.query('delete from approval_factor where approval_id = $1', [id])
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
})

test('an approval is taken back until it is used; a rejection ends it', async () => {
  const id = await ask([factor(crew)])
  await decide(ada, id)
  await expect(decide(ada, id)).rejects.toSatisfy(code('conflict'))
  expect((await tx((tx) => takeBack(tx, ctx, person(ada), id, 'wrong'))).state).toBe('requested')
  await expect(tx((tx) => takeBack(tx, ctx, person(ada), id, 'again'))).rejects.toSatisfy(code('wrong_state'))
  await decide(ada, id)
  expect((await decide(ada, id, { decision: 'reject' })).state).toBe('rejected')
  await expect(decide(bob, id)).rejects.toSatisfy(code('wrong_state'))
  await expect(consume(id)).rejects.toSatisfy(code('wrong_state'))
})

test('withdrawn and expired requests are at an end', async () => {
  const [gone, late] = [await ask([factor(crew)]), await ask([factor(crew)])]
  await decide(ada, late)
  await tx((tx) => withdrawApproval(tx, ctx, person(asker), gone, 'not needed'))
  await expect(decide(ada, gone)).rejects.toSatisfy(code('wrong_state'))
  nowMs += 25 * 3_600_000
  await expect(consume(late)).rejects.toSatisfy(code('wrong_state'))
  await sweepApprovals(db.store, ctx)
  expect((await types(late)).at(-1)).toBe('approval.expired')
})

test('a bypass is for people with a reason, names who was skipped, and is used up like an approval', async () => {
  const id = await ask([factor(crew, { count: 2 })])
  await decide(ada, id)
  const bypass = (by: Principal, reason = 'the building is on fire') => tx((tx) => bypassApproval(tx, ctx, by, id, { reason, digest }))
  await expect(bypass(person(eve), '  short  ')).rejects.toSatisfy(code('bad_input'))
  for (const kind of ['agent', 'workload', 'token'] as const) {
    await expect(bypass(person(eve, { kind }))).rejects.toSatisfy(code('forbidden'))
  }
  await bypass(person(eve))
  expect((await events(id)).at(-1)).toMatchObject({
    type: 'approval.bypassed',
    data: { by: eve, reason: 'the building is on fire', skipped: [bob] },
  })
  expect(await consume(id)).toEqual({ id, approvedBy: [], bypassedBy: eve })
})

test('a bypass by somebody who is offboarded since is no bypass', async () => {
  const id = await ask([factor(crew)])
  await tx((tx) => bypassApproval(tx, ctx, person(eve), id, { reason: 'the building is on fire', digest }))
  await tx((tx) => offboardIdentity(tx, ctx, eve, 'it was not'))
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
})

test('what asks for nobody, or for nothing, is refused', async () => {
  const empty = await team([])
  await expect(ask([])).rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(empty)])).rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(await team([asker]))]), 'only the requester').rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(crew, { count: 3 })]), 'the requester is one of the three').rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(newId())])).rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(crew)], { expiresSeconds: 299 })).rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(crew)], { expiresSeconds: 30 * 86_400 + 1 })).rejects.toSatisfy(code('bad_input'))
  await expect(ask([factor(crew)], { words: ' \n ' })).rejects.toSatisfy(code('bad_input'))
})

test('words cannot hide what they say', async () => {
  const id = await ask([factor(crew)], { words: 'End \u202eada\u0007.\nNow.' })
  const [row] = await db.store.query<{ words: string }>('select words from approval where id = $1', [id])
  expect(row?.words).toBe('End \\u{202e}ada\\u{7}.\nNow.')
})

test('factors are read strictly: whatever is written, each that is read asks for at least one person of one team', () => {
  for (const bad of [null, undefined, {}, [], '', 0, [null], [{}], [{ team: newId() }], { 0: { team: newId(), count: 1 }, length: 1 }]) {
    expect(() => parseFactors(bad)).toThrow()
  }
  const id = newId()
  const odd = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1', 21, null, true]
  for (const count of odd) expect(() => parseFactors([{ team: id, count }])).toThrow()
  for (const aal of [0, 4, '2', null]) expect(() => parseFactors([{ team: id, count: 1, aal }])).toThrow()
  expect(() => parseFactors([{ team: id, count: 1, group: id }])).toThrow()
  expect(parseFactors([{ team: id, count: 1 }])).toEqual([{ team: id, count: 1, aal: 2, passkey: false }])
  const member = fc.oneof(fc.constantFrom('team', 'count', 'aal', 'passkey'), fc.string())
  const value = fc.oneof(fc.constant(id), fc.integer(), fc.anything())
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.array(fc.dictionary(member, value))), (written) => {
      let read: Factor[]
      try {
        read = parseFactors(written)
      } catch (error) {
        return isCode(error, 'bad_input')
      }
      return read.length > 0 && read.every(({ count, aal }) => Number.isInteger(count) && count >= 1 && aal >= 1)
    }),
    { numRuns: 2000 },
  )
})

test('counting: as many places as distinct people can fill, by whatever order they come in', () => {
  const one = fc.nat(4)
  const factors = fc.array(fc.record({ members: fc.uniqueArray(one), count: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(factors, fc.uniqueArray(one), (made, said) => {
      const wanted = made.map(({ count }) => ({ team: newId(), count, aal: 2, passkey: false }) as const)
      const eligible = made.flatMap(({ members }, position) => members.map((n) => ({ position, identity: String(n) })))
      const decisions = said.map((n) => ({ identity: String(n), aal: 2, passkey: false }))
      const lacking = missing(wanted, eligible, decisions)
      const places = made.flatMap(({ members, count }) => Array.from({ length: count }, () => members.filter((n) => said.includes(n))))
      // The most places that distinct people fill, by trying everything.
      const most = (at: number, used: readonly number[]): number => {
        const place = places[at]
        if (place === undefined) return 0
        const filled = place.filter((n) => !used.includes(n)).map((n) => 1 + most(at + 1, [...used, n]))
        return Math.max(most(at + 1, used), ...filled)
      }
      return places.length - lacking.reduce((sum, n) => sum + n, 0) === most(0, [])
    }),
    { numRuns: 500 },
  )
})

test('the table of states: consumed is reached from approved and bypassed alone, and ends are ends', () => {
  const before = (to: ApprovalState) => APPROVAL_STATES.filter((from) => NEXT_APPROVAL[from].includes(to))
  expect(before('consumed')).toEqual(['approved', 'bypassed'])
  expect(APPROVAL_STATES.filter((state) => NEXT_APPROVAL[state].length === 0)).toEqual(['rejected', 'withdrawn', 'expired', 'consumed'])
  for (const state of APPROVAL_STATES) expect(NEXT_APPROVAL[state]).not.toContain(state)
})

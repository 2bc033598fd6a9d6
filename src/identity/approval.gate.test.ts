/** Use cases that wait for approval: rules, policies, bindings, offboarding; and who sees what. */
import { expect, test } from 'vitest'
import {
  ada,
  admin,
  approve,
  bob,
  code,
  crew,
  ctx,
  db,
  join,
  may,
  parts,
  person,
  policies,
  rule,
  setUp,
  show,
  tx,
  unsigned,
  waits,
} from '../../test/lab/approvals.ts'
import { makeCtx, newId, RekeyError } from '../kernel/index.ts'
import { type Principal, StepUpRequired } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import {
  type AssertionOf,
  activatePolicies,
  approvalGate,
  bindRole,
  bypassByHand,
  decideByHand,
  identityNamed,
  joinIdentity,
  listRules,
  moveIdentity,
  moveStatusByHand,
  proposePolicies,
  readApprovals,
  removeRule,
  requireApproval,
  suspendIdentity,
  takeBackByHand,
  unbindRole,
  withApproval,
  withdrawByHand,
} from './index.ts'

setUp()

const offboard = (id: string, reason = 'contract ended', by = admin) =>
  moveStatusByHand({ ...parts(), policies }, ctx, may(by, 'identity:offboard'), by, id, { reason, force: false })
const openRequests = () => db.store.query<{ id: string }>("select id from approval where state = 'requested'")

test('a rule of the shortest time is asked by, though the clock goes on between two looks at it', async () => {
  await rule('identity:offboard', { expiresSeconds: 300 })
  let ticks = 0
  const start = ctx.clock.now().getTime()
  const ticking = makeCtx('test', 'test', { clock: { now: () => new Date(start + 5 * ++ticks), monotonicMs: () => start + 5 * ++ticks } })
  const by = person(await join(), { roles: admin.roles })
  const allowedNow = policies.allow(ticking, by, 'identity:offboard')
  const gone = await join()
  const id = await waits(moveStatusByHand({ ...parts(), policies }, ticking, allowedNow, by, gone, { reason: 'ended', force: false }))
  const [row] = await db.store.query<{ seconds: number }>(
    'select extract(epoch from expires_at - requested_at)::integer as seconds from approval where id = $1',
    [id],
  )
  expect(row).toEqual({ seconds: 300 })
})

test('without a rule nothing waits; with one, offboarding waits for exactly this, and then happens once', async () => {
  expect((await offboard(await join())).status).toBe('offboarded')
  await rule('identity:offboard')
  const gone = await join()
  const id = await waits(offboard(gone))
  expect((await identityNamed(db.store, gone)).status).toBe('active')
  const detail = await show(person(ada), id)
  expect(detail).toMatchObject({
    action: 'identity:offboard',
    what: { identity: gone, reason: 'contract ended' },
    waitsForMe: true,
    mine: false,
  })
  expect(detail.words).toContain('Reason given: "contract ended"')
  expect(await waits(offboard(gone)), 'the same question is asked once').toBe(id)
  await approve(person(ada), id)
  expect(await waits(offboard(gone, 'another reason'))).not.toBe(id)
  expect((await offboard(gone)).status).toBe('offboarded')
  expect((await show(person(ada), id)).state).toBe('consumed')
  expect((await offboard(gone)).status, 'a repeat does nothing and asks nobody').toBe('offboarded')
})

test('a request for the end of somebody who is offboarded meanwhile is withdrawn in the same transaction, with why', async () => {
  await rule('identity:offboard')
  const [gone, stays] = [await join(), await join()]
  const first = await waits(offboard(gone))
  await approve(person(ada), first)
  const others = [await waits(offboard(gone, 'another reason')), await waits(offboard(gone, 'a third reason'))]
  // Also one that is approved, and one whose subject had another name when it was asked.
  await approve(person(ada), others[1] ?? '')
  await tx((tx) => moveIdentity(tx, ctx, gone, { name: `renamed ${newId()}` }))
  const unconcerned = await waits(offboard(stays))
  await removeRule(db.store, ctx, may(admin, 'approval:configure'), admin, 'identity:offboard', 'never mind it')
  await offboard(gone, 'without any rule')
  for (const id of [first, ...others]) {
    const why = 'Nothing is left to approve: the identity has been offboarded.'
    expect(await show(person(ada), id)).toMatchObject({ state: 'withdrawn', withdrawnReason: why })
    const told = await db.store.query<{ body: unknown }>(
      "select body from evidence_event where body::jsonb->>'type' = 'approval.withdrawn' and body::jsonb->'links'->>'approval' = $1",
      [id],
    )
    expect(told).toHaveLength(1)
    expect(JSON.stringify(told)).toContain(why)
  }
  expect((await show(person(ada), unconcerned)).state).toBe('requested')
})

test('equal questions at the same moment make one request', async () => {
  await rule('identity:offboard')
  const gone = await join()
  const ids = await Promise.all(Array.from({ length: 5 }, () => waits(offboard(gone))))
  expect(new Set(ids).size).toBe(1)
})

test('an approval that was asked for under a weaker rule does not count under a stricter one', async () => {
  await rule('identity:offboard')
  const gone = await join()
  const id = await waits(offboard(gone))
  await approve(person(ada), id)
  await rule('identity:offboard', { factors: [{ team: crew, count: 2 }] })
  expect(await waits(offboard(gone))).not.toBe(id)
  expect((await identityNamed(db.store, gone)).status).toBe('active')
})

test('whoever approved may not be suspended when it is used', async () => {
  await rule('identity:offboard')
  const gone = await join()
  const id = await waits(offboard(gone))
  await approve(person(ada), id)
  await tx((tx) => suspendIdentity(tx, ctx, ada, 'found out'))
  expect(await waits(offboard(gone))).toBe(id)
  await approve(person(bob), id)
  expect((await offboard(gone)).status).toBe('offboarded')
})

test('a rule whose row was emptied refuses the action, and is shown as unreadable', async () => {
  await rule('identity:offboard')
  const gone = await join()
  for (const factors of ['[]', '{}', 'null', '[{}]', '[{"team":"x","count":1}]']) {
    await db.store.query('update approval_rule set factors = $1::jsonb', [factors])
    await expect(offboard(gone), factors).rejects.toSatisfy(code('unavailable'))
    expect((await listRules(db.store))[0]?.factors).toBeNull()
  }
})

test('rules that ask for nobody, for too many, or of what nobody asks for are refused', async () => {
  const bad = [
    { factors: [] },
    { factors: [{ team: crew, count: 0 }] },
    { factors: [{ team: crew, count: 3 }] },
    { factors: [{ team: newId(), count: 1 }] },
    { expiresSeconds: 1 },
    { reason: '' },
  ]
  for (const changes of bad) await expect(rule('identity:offboard', changes), JSON.stringify(changes)).rejects.toSatisfy(code('bad_input'))
  await expect(rule('rotation:start')).rejects.toSatisfy(code('bad_input'))
  await expect(rule('toString')).rejects.toSatisfy(code('bad_input'))
  expect(await listRules(db.store)).toEqual([])
})

test('the rule on rules guards every rule, itself included', async () => {
  await rule('approval:configure')
  const remove = (action: string) => removeRule(db.store, ctx, may(admin, 'approval:configure'), admin, action, 'in the way')
  const id = await waits(remove('approval:configure'))
  expect(await listRules(db.store)).toHaveLength(1)
  await waits(rule('approval:configure', { factors: [{ team: crew, count: 2 }] }))
  await waits(rule('identity:offboard'))
  await approve(person(bob), id)
  await remove('approval:configure')
  expect(await listRules(db.store)).toEqual([])
  await expect(remove('approval:configure')).rejects.toSatisfy(code('not_found'))
})

test('policies come into force by the rule, and never by who proposed them', async () => {
  await rule('policy:approve', { factors: [{ team: crew, count: 1 }] })
  const files = [{ name: 'night.cedar', text: 'permit (principal in Role::"night", action == Action::"rotation:start", resource);\n' }]
  const proposer = person(ada, { roles: ['security-admin'] })
  const proposed = await proposePolicies(db.store, ctx, may(proposer, 'policy:propose'), proposer, { files, words: 'nights', force: false })
  const by = person(await join(), { roles: ['security-admin'] })
  const activate = () =>
    activatePolicies(db.store, ctx, by, {
      id: proposed.id,
      digest: proposed.digest,
      warrant: { may: may(by, 'policy:approve'), gate: approvalGate, because: 'read it' },
    })
  const id = await waits(activate())
  expect(id, 'they were asked when it was proposed').toBe(proposed.approval)
  await expect(approve(proposer, id), 'who proposed it does not decide').rejects.toSatisfy(code('forbidden'))
  await expect(approve(by, id), 'who may approve policies is still not asked').rejects.toSatisfy(code('not_found'))
  const { words, what } = await show(person(bob), id)
  expect(words).toContain(`- night.cedar: added\n    +${files[0]?.text.trim()}`)
  expect(what).toMatchObject({
    set: proposed.id,
    digest: proposed.digest,
    changes: [{ file: 'night.cedar', lines: [`+${files[0]?.text.trim()}`] }],
  })
  await approve(person(bob), id)
  expect((await activate()).state).toBe('active')
})

test('without a rule, policies still need a second person', async () => {
  const files = [{ name: 'day.cedar', text: 'permit (principal in Role::"day", action == Action::"rotation:start", resource);\n' }]
  const proposer = person(ada, { roles: ['security-admin'] })
  const { id, digest } = await proposePolicies(db.store, ctx, may(proposer, 'policy:propose'), proposer, {
    files,
    words: 'days',
    force: false,
  })
  const activate = (by: Principal) =>
    activatePolicies(db.store, ctx, by, { id, digest, warrant: { may: may(by, 'policy:approve'), gate: approvalGate, because: 'read it' } })
  await expect(activate(proposer)).rejects.toSatisfy(code('forbidden'))
  expect((await activate(person(bob, { roles: ['security-admin'] }))).state).toBe('active')
})

test('policies that a bypass brings into force under a changed rule leave no older request for them open', async () => {
  await rule('policy:approve')
  const files = [{ name: 'eve.cedar', text: 'permit (principal in Role::"eve", action == Action::"rotation:start", resource);\n' }]
  const proposer = person(ada, { roles: ['security-admin'] })
  const proposed = await proposePolicies(db.store, ctx, may(proposer, 'policy:propose'), proposer, { files, words: 'eves', force: false })
  const older = proposed.approval ?? ''
  await rule('policy:approve', { factors: [{ team: crew, count: 1, aal: 3 }] })
  const by = person(await join(), { roles: ['bootstrap-admin'] })
  const warrant = { may: may(by, 'policy:bypass'), reason: 'nobody is awake now' }
  await activatePolicies(db.store, ctx, by, { id: proposed.id, digest: proposed.digest, warrant })
  expect(await show(person(bob), older)).toMatchObject({
    state: 'withdrawn',
    withdrawnReason: 'Nothing is left to approve: these policies have come into force.',
  })
  const open = await db.store.query("select id from approval where subject = $1 and state in ('requested', 'approved', 'bypassed')", [
    proposed.id,
  ])
  expect(open).toEqual([])
})

test('a role is bound by the rule', async () => {
  await rule('role:bind')
  const input = { role: 'operator', kind: 'identity', subject: bob, reason: 'runs the nights', force: false } as const
  const bind = () => bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, input)
  const id = await waits(bind())
  await approve(person(ada), id)
  const bound = await bind()
  expect(bound.role).toBe('operator')
  await unbindRole(db.store, ctx, may(admin, 'role:unbind'), policies.set, bound.id, { reason: 'done', force: false })
})

test('those who asked or were asked see a request; for everybody else it is not there', async () => {
  await rule('identity:offboard')
  const asker = person(await join(), { roles: ['directory-admin'] })
  const id = await waits(offboard(await join(), 'contract ended', asker))
  const stranger = person(await join())
  const said = (by: Principal, it: string) => show(by, it).catch((error: Error) => `${error.message}`)
  expect(await said(stranger, id)).toBe(await said(stranger, newId()))
  expect(await said(stranger, id)).toBe(await said(stranger, 'no id at all'))
  expect((await show(asker, id)).mine).toBe(true)
  const list = (by: Principal, of: 'mine' | 'decide' | 'requested' | 'all') =>
    readApprovals(parts(), ctx, may(by, 'approval:read'), by, { of, after: null, limit: 100 }).then(({ items }) => items.map((it) => it.id))
  expect(await list(asker, 'requested')).toEqual([id])
  expect(await list(asker, 'decide')).toEqual([])
  expect(await list(person(ada), 'decide')).toEqual([id])
  for (const of of ['mine', 'decide', 'requested', 'all'] as const) expect(await list(stranger, of)).toEqual([])
  expect(await list(person(await join(), { roles: ['auditor'] }), 'all')).toContain(id)
  await approve(person(ada), id)
  expect(await list(person(ada), 'decide')).toEqual([])
  expect(await list(person(ada), 'mine')).toEqual([id])
})

test('what others may not decide, take back or withdraw is not there for them; an auditor decides nothing', async () => {
  await rule('identity:offboard')
  const asker = person(await join(), { roles: ['directory-admin'] })
  const id = await waits(offboard(await join(), 'contract ended', asker))
  const { digest } = await show(asker, id)
  const input = { decision: 'approve', reason: 'read it', digest, ...unsigned } as const
  for (const other of [person(await join()), person(await join(), { roles: ['auditor'] }), person(await join(), { roles: ['approver'] })]) {
    await expect(decideByHand(parts(), ctx, may(other, 'approval:decide'), other, id, input)).rejects.toSatisfy(code('not_found'))
    await expect(takeBackByHand(parts(), ctx, may(other, 'approval:decide'), other, id, 'x')).rejects.toSatisfy(code('not_found'))
    await expect(withdrawByHand(parts(), ctx, may(other, 'approval:withdraw'), other, id, 'x')).rejects.toSatisfy(code('not_found'))
  }
  await expect(decideByHand(parts(), ctx, may(asker, 'approval:decide'), asker, id, input)).rejects.toSatisfy(code('forbidden'))
  await approve(person(ada), id)
  expect((await takeBackByHand(parts(), ctx, may(person(ada), 'approval:decide'), person(ada), id, 'wrong one')).state).toBe('requested')
  expect((await show(asker, id)).decisions).toMatchObject([{ takenBackAt: expect.any(String), takenBackReason: 'wrong one' }])
  expect((await withdrawByHand(parts(), ctx, may(asker, 'approval:withdraw'), asker, id, 'never mind')).state).toBe('withdrawn')
  expect(await show(asker, id)).toMatchObject({ state: 'withdrawn', withdrawnReason: 'never mind' })
})

test('deciding takes a fresh login of two factors by the default policies', async () => {
  expect(() => may(person(ada, { aal: 1 }), 'approval:decide')).toThrow(StepUpRequired)
  const old = new Date(Date.now() - 16 * 60_000)
  expect(() => may(person(ada, { authenticatedAt: old }), 'approval:decide')).toThrow(StepUpRequired)
  for (const kind of ['agent', 'workload', 'machine', 'token'] as const) {
    expect(() => may(person(ada, { kind, roles: ['approver', 'bootstrap-admin'] }), 'approval:decide')).toThrow('You may not')
  }
})

test('a bypass is for whom policy names: by default no role that people hold but the first administrator', async () => {
  await rule('identity:offboard')
  const gone = await join()
  const id = await waits(offboard(gone))
  for (const roles of [['security-admin'], ['approver'], ['directory-admin'], []]) {
    expect(() => may(person(bob, { roles }), 'approval:bypass')).toThrow('You may not')
  }
  expect(() => may(admin, 'approval:bypass'), 'the first token is no person').toThrow('You may not')
  const chief = person(await join(), { roles: ['bootstrap-admin'] })
  const { digest } = await show(chief, id)
  const bypass = () => bypassByHand(parts(), ctx, may(chief, 'approval:bypass'), chief, id, { reason: 'the building is on fire', digest })
  expect((await bypass()).bypass).toMatchObject({ by: chief.id, reason: 'the building is on fire' })
  expect((await offboard(gone)).status).toBe('offboarded')
})

test('what one’s own token asked is one’s own: no decision of it, in words that say so, and no bypass', async () => {
  await rule('identity:offboard')
  const labels = { email: `${newId()}@example.com` }
  const known = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api', labels }))
  const chief = person(await known(), { roles: ['bootstrap-admin'] })
  const asks = principal({ id: newId(), kind: 'token', roles: ['directory-admin'], makers: [chief.id] })
  const [gone, other] = [await join(), await join()]
  const id = await waits(offboard(gone, 'contract ended', asks))
  await expect(approve(chief, id)).rejects.toMatchObject({
    code: 'forbidden',
    message: 'Who asks does not decide.',
    hint: expect.anything(),
  })
  const { digest } = await show(chief, id)
  const input = { reason: 'the building is on fire', digest }
  const bypass = (by: Principal, of = id, more = input) => bypassByHand(parts(), ctx, may(by, 'approval:bypass'), by, of, more)
  await expect(bypass(chief)).rejects.toMatchObject({ code: 'forbidden', message: 'Who asks does not bypass the approval.' })
  // Another identity of the same human, and what she asks herself, are no way around.
  const twin = person(await known(), { roles: ['bootstrap-admin'] })
  await expect(bypass(twin)).rejects.toSatisfy(code('forbidden'))
  const own = await waits(offboard(other, 'contract ended', chief))
  await expect(bypass(chief, own, { ...input, digest: (await show(chief, own)).digest })).rejects.toSatisfy(code('forbidden'))
  // Who has nothing to do with it still learns nothing, and somebody else may let it through.
  const stranger = person(await join(), { roles: ['approver'] })
  await expect(
    decideByHand(parts(), ctx, may(stranger, 'approval:decide'), stranger, id, {
      decision: 'approve',
      reason: 'mine',
      digest,
      session: null,
      proof: null,
    }),
  ).rejects.toMatchObject({ code: 'not_found', message: 'There is no such request for approval.' })
  const second = person(await join(), { roles: ['bootstrap-admin'] })
  expect((await bypass(second)).bypass).toMatchObject({ by: second.id })
})

test('a passkey’s assertion is fetched for the one who decides, over the digest that they send', async () => {
  await rule('identity:offboard', { factors: [{ team: crew, count: 1, passkey: true }] })
  const id = await waits(offboard(await join()))
  const by = person(ada)
  await expect(approve(by, id), 'nobody can sign here').rejects.toSatisfy(code('step_up_required'))
  const { digest } = await show(by, id)
  // The login's own proofs are tried with the login; here only what is asked of it counts.
  const [proof, session] = [newId(), newId()]
  const assertionOf: AssertionOf = async (_tx, holder, given, act) =>
    holder.identity === ada &&
    holder.session === session &&
    given === proof &&
    act.action === 'approval:decide' &&
    act.subject === `approve:${id}`
      ? { credentialId: 'key-1', digest: act.digest, at: new Date() }
      : null
  const input = { decision: 'approve', reason: 'read it', digest, proof, session } as const
  const decide = (who: Principal) => decideByHand({ store: db.store, assertionOf }, ctx, may(who, 'approval:decide'), who, id, input)
  await expect(decideByHand(parts(), ctx, may(by, 'approval:decide'), by, id, input), 'no login is there').rejects.toSatisfy(
    code('step_up_required'),
  )
  await expect(
    decideByHand({ store: db.store, assertionOf }, ctx, may(by, 'approval:decide'), by, id, { ...input, session: null }),
    'there is no session',
  ).rejects.toSatisfy(code('step_up_required'))
  await expect(decide(person(bob))).rejects.toSatisfy(code('step_up_required'))
  // What was signed to approve is no rejection.
  const reject = { ...input, decision: 'reject' } as const
  await expect(decideByHand({ store: db.store, assertionOf }, ctx, may(by, 'approval:decide'), by, id, reject)).rejects.toSatisfy(
    code('step_up_required'),
  )
  expect((await decide(by)).decisions).toMatchObject([{ by: ada, passkey: 'key-1' }])
})

test('a use case that fails after its approval has not used it up', async () => {
  await rule('role:bind')
  const asked = { action: 'role:bind', subject: 'operator', what: { to: 'bob' }, words: 'Give bob the role operator.' } as const
  const bind = () =>
    withApproval(db.store, ctx, admin, async (tx) => {
      await requireApproval(tx, ctx, asked)
      throw new RekeyError('conflict', 'It has the role already.')
    })
  const id = await waits(bind())
  const before = (await openRequests()).length
  await approve(person(ada), id)
  await expect(bind()).rejects.toSatisfy(code('conflict'))
  expect((await show(person(ada), id)).state).toBe('approved')
  expect((await openRequests()).length).toBe(before - 1)
})

test('a program takes back what it asked for, without any role for it, and nothing that others asked for', async () => {
  await rule('identity:offboard')
  const withdraw = (by: Principal, id: string) => withdrawByHand(parts(), ctx, may(by, 'approval:withdraw'), by, id, 'not needed any more')
  const bot = await join()
  for (const kind of ['token', 'workload', 'agent'] as const) {
    const own = kind === 'token' ? { id: newId(), identity: null } : { id: bot, identity: bot }
    // As its token is: good for one action, and in one environment.
    const program = principal({ ...own, kind, roles: ['directory-admin'], scope: ['identity:offboard'] })
    const id = await waits(offboard(await join(), 'contract ended', program))
    const bare = { ...program, roles: [], environments: ['test'] }
    const other = { ...bare, id: newId(), identity: newId() }
    await expect(withdraw(other, id), kind).rejects.toSatisfy(code('not_found'))
    expect((await withdraw(bare, id)).state, kind).toBe('withdrawn')
    await expect(withdraw(bare, id), 'it is at its end').rejects.toSatisfy(code('wrong_state'))
  }
})

import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId } from '../kernel/index.ts'
import { defaultFiles, Policies, type PolicyFile, type Principal, readPolicies } from '../policy/index.ts'
import { permitted, principal } from '../policy/testing.ts'
import {
  activatePolicies,
  addTeamMembers,
  bindRole,
  ensureAdminToken,
  ensurePolicySet,
  findPolicySet,
  listBindings,
  listPolicySets,
  type Proposed,
  proposePolicies,
  putIdentities,
  putTeam,
  secondPerson,
  unbindRole,
  watchPolicies,
} from './index.ts'
import { linesWithNumbers } from './policyset.model.ts'

const ctx = makeCtx('test', 'test')
const code = (wanted: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, wanted)
let db: TestDatabase
let policies: Policies
let admin: Principal
beforeEach(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
  await ensureAdminToken(db.store, ctx, async () => undefined)
  const [token] = await db.store.query<{ id: string }>('select id from api_token')
  admin = principal({ id: token?.id ?? '', roles: ['bootstrap-admin'] })
})
afterEach(() => db.drop())

const OWN = { name: 'night.cedar', text: 'permit (principal in Role::"night", action == Action::"rotation:start", resource);\n' }
const person = (id: string, roles = ['security-admin']) =>
  principal({ id, kind: 'person', identity: id, roles, aal: 3, authenticatedAt: new Date() })
const propose = (files: readonly PolicyFile[] = [OWN], by = admin) =>
  proposePolicies(db.store, ctx, policies.allow(ctx, by, 'policy:propose'), by, { files, words: 'nights', force: false })
const approve = (by: Principal, { id, digest }: Pick<Proposed, 'id' | 'digest'>) =>
  activatePolicies(db.store, ctx, by, {
    id,
    digest,
    warrant: { may: policies.allow(ctx, by, 'policy:approve'), gate: secondPerson, because: 'read every line' },
  })
const bypass = ({ id, digest }: Pick<Proposed, 'id' | 'digest'>, reason = 'nobody else is here yet') =>
  activatePolicies(db.store, ctx, admin, { id, digest, warrant: { may: policies.allow(ctx, admin, 'policy:bypass'), reason } })
const events = () =>
  db.store.query<{ type: string; subject: string; data: Record<string, unknown> }>(
    `select body::jsonb ->> 'type' as type, body::jsonb ->> 'subject' as subject, body::jsonb -> 'data' as data
       from evidence_event order by id`,
  )
const types = async () => (await events()).map(({ type }) => type)

test('the first start brings the default set into force, with the forced role on record; later starts do nothing', async () => {
  expect(await types()).toEqual(['policy.activated', 'role.forced', 'token.created', 'role.bound'])
  const forced = (await events())[1]
  expect(forced).toMatchObject({ subject: 'Role::"bootstrap-admin"', data: { reason: expect.stringMatching(/one administrator/) } })
  await ensurePolicySet(db.store, ctx)
  expect(await types()).toHaveLength(4)
})

test('another version of the program brings its own default set, as an event', async () => {
  await db.store.query("update policy_set set digest = 'older'")
  await ensurePolicySet(db.store, ctx)
  expect((await types()).slice(4)).toEqual(['policy.activated'])
  expect((await listPolicySets(db.store, null, 10)).map(({ state }) => state)).toEqual(['active', 'replaced'])
})

test('processes that start together bring one set into force', async () => {
  await db.store.query('delete from policy_set')
  await Promise.all(Array.from({ length: 5 }, () => ensurePolicySet(db.store, ctx)))
  expect(await listPolicySets(db.store, null, 10)).toHaveLength(1)
})

test('a proposed set decides nothing until another person has approved it by its digest', async () => {
  const proposed = await propose([OWN], person(newId()))
  expect(proposed.changes).toEqual([{ file: 'night.cedar', change: 'added', lines: [`+${OWN.text.trim()}`] }])
  expect((await findPolicySet(db.store, 'active')).origin).toBe('default')
  await expect(approve(person(newId()), { ...proposed, digest: '0'.repeat(64) })).rejects.toSatisfy(code('conflict'))
  const active = await approve(person('b'), proposed)
  expect(active).toMatchObject({ state: 'active', origin: 'own', digest: proposed.digest })
  expect((await events()).slice(4)).toMatchObject([
    { type: 'policy.proposed' },
    { type: 'policy.approved', data: { digest: proposed.digest, approvedBy: ['b'], reason: 'read every line' } },
    { type: 'policy.activated' },
  ])
  await expect(approve(person('c'), proposed)).rejects.toSatisfy(code('wrong_state'))
})

test('who approves sees letters that do not show, and the end of a line of another system is none', async () => {
  const text = `// caf\u00e9\u00a0au\u200blait\r\n\t${OWN.text.replace('night', '\\u{6e}ight')}`
  const proposed = await propose([{ name: 'night.cedar', text }], person(newId()))
  const [change] = proposed.changes
  expect(change?.lines).toEqual(['+// caf\u00e9\\u{a0}au\\u{200b}lait', `+\t${OWN.text.trim().replace('night', '\\u{6e}ight')}`])
  expect(linesWithNumbers(change?.lines ?? [])).toBe(2)
  const stored = await findPolicySet(db.store, proposed.id)
  expect(stored.files.some((file) => file.text.includes('\r'))).toBe(false)
})

test('self-approval never counts: not by the proposer, its token, its agent, nor when an agent proposed for the approver', async () => {
  const ada = person(newId())
  const token = { ...ada, kind: 'token', id: newId() } as const
  const proposed = await propose([OWN], ada)
  await expect(approve(ada, proposed)).rejects.toSatisfy(code('forbidden'))
  for (const by of [token, { ...ada, id: newId() }, { ...person(newId()), actsFor: { identity: ada.id } }]) {
    await expect(secondPerson.require(db.store as never, ctx, asking(proposed, by, [ada.id]))).rejects.toSatisfy(code('forbidden'))
  }
  const agent = principal({ id: newId(), kind: 'agent', identity: newId(), actsFor: { identity: ada.id }, roles: ['bootstrap-admin'] })
  expect(() => policies.allow(ctx, agent, 'policy:propose')).toThrow()
  const workload = { ...agent, kind: 'workload' } as const
  await db.store.query("update policy_set set state = 'replaced' where state = 'proposed'")
  const forAda = await propose([OWN], workload)
  await expect(approve(ada, forAda)).rejects.toSatisfy(code('forbidden'))
  expect((await approve(person('b'), forAda)).state).toBe('active')
})

function asking({ id, digest }: Proposed, by: Principal, proposers: readonly string[]) {
  return { action: 'policy:approve', subject: id, digest, words: 'nights', proposers, by } as const
}

test('a program never approves', async () => {
  const proposed = await propose()
  for (const kind of ['token', 'workload', 'machine', 'agent'] as const) {
    const by = principal({ id: newId(), identity: newId(), kind, roles: ['bootstrap-admin', 'security-admin', 'approver'] })
    expect(() => policies.allow(ctx, by, 'policy:approve')).toThrow(expect.objectContaining({ code: 'forbidden' }))
    await expect(secondPerson.require(db.store as never, ctx, asking(proposed, by, []))).rejects.toSatisfy(code('forbidden'))
  }
})

test('a bypass needs a reason, is an event of its own, and only the first token has it', async () => {
  const proposed = await propose()
  await expect(bypass(proposed, '   short   ')).rejects.toSatisfy(code('bad_input'))
  expect(() => policies.allow(ctx, person('a'), 'policy:bypass')).toThrow(expect.objectContaining({ code: 'forbidden' }))
  expect(await bypass(proposed)).toMatchObject({ state: 'active', bypassReason: 'nobody else is here yet' })
  expect((await types()).slice(4)).toEqual(['policy.proposed', 'policy.bypassed', 'policy.activated'])
})

test('if another set came into force meanwhile, what was approved is not what would change', async () => {
  const [one, two] = [await propose(), await propose([{ ...OWN, name: 'other.cedar' }])]
  await bypass(one)
  await expect(bypass(two)).rejects.toSatisfy(code('conflict'))
})

test('texts that were changed in the row after they were proposed do not come into force', async () => {
  const proposed = await propose()
  await db.store.query(`update policy_set set files = replace(files::text, 'rotation:start', 'kek:rotate')::jsonb where id = $1`, [
    proposed.id,
  ])
  await expect(bypass(proposed)).rejects.toSatisfy(code('conflict'))
})

test('a set with faults, one that changes nothing, and one that nobody could change again are refused', async () => {
  await expect(propose([{ name: 'x.cedar', text: 'permit (' }])).rejects.toSatisfy(code('policy_invalid'))
  await expect(propose([defaultFiles()[0] ?? OWN])).rejects.toSatisfy(code('wrong_state'))
  const locked = propose([{ name: 'bootstrap-admin.cedar', text: '// nobody any more\n' }])
  await expect(locked).rejects.toThrow(/Nobody could change policy any more/)
  const forbidden = propose([{ name: 'x.cedar', text: 'forbid (principal, action == Action::"policy:propose", resource);' }])
  await expect(forbidden).rejects.toThrow(/Nobody could change policy any more/)
  expect(await listPolicySets(db.store, null, 10)).toHaveLength(1)
})

const enrolled = (id: string) =>
  db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
       rp_id, name) values ($1, $2, $3, '\\x00', 0, '{}', '', 'none', true, false, 'x', 'key')`,
    [newId(), id, newId()],
  )

test('two people who may propose and approve are enough to let the first token go, and one is not', async () => {
  const ids = await db.store.inTx((tx) =>
    putIdentities(tx, ctx, permitted(ctx), [
      { name: 'ada', kind: 'human', owner: 'ada', purpose: 'works here', environment: 'prod' },
      { name: 'bob', kind: 'human', owner: 'bob', purpose: 'works here', environment: 'prod' },
    ]),
  )
  const bind = (subject: string) =>
    bindRole(db.store, ctx, policies.allow(ctx, admin, 'role:bind'), admin, policies, {
      role: 'security-admin',
      kind: 'identity',
      subject,
      reason: 'they run it',
      force: false,
    })
  await bind('ada')
  const [first] = await listBindings(db.store, null, 10)
  const unbind = (id: string) =>
    unbindRole(db.store, ctx, policies.allow(ctx, admin, 'role:unbind'), policies.set, id, { reason: 'done', force: false })
  await expect(unbind(first?.id ?? '')).rejects.toThrow(/Nobody could change policy any more/)
  await bind(ids.get('bob') ?? '')
  // Who cannot log in is no way in, and neither is who is not active.
  await expect(unbind(first?.id ?? '')).rejects.toThrow(/Nobody could change policy any more/)
  for (const id of ids.values()) await enrolled(id)
  await db.store.query("update identity set status = 'suspended' where name = 'bob'")
  await expect(unbind(first?.id ?? '')).rejects.toThrow(/Nobody could change policy any more/)
  await db.store.query("update identity set status = 'active' where name = 'bob'")
  await unbind(first?.id ?? '')
  expect((await listBindings(db.store, null, 10)).map(({ name }) => name)).toEqual(['ada', 'bob'])
  expect((await types()).slice(-3)).toEqual(['role.bound', 'role.bound', 'role.unbound'])
})

test('roles are bound to others, once, and never both hands to one without a reason', async () => {
  await db.store.inTx((tx) =>
    putIdentities(tx, ctx, permitted(ctx), [{ name: 'ada', kind: 'human', owner: 'ada', purpose: 'works here', environment: 'prod' }]),
  )
  const may = policies.allow(ctx, admin, 'role:bind')
  const bind = (changes: Partial<Parameters<typeof bindRole>[5]>) =>
    bindRole(db.store, ctx, may, admin, policies, {
      role: 'operator',
      kind: 'identity',
      subject: 'ada',
      reason: 'short',
      force: false,
      ...changes,
    })
  await bind({})
  await expect(bind({})).rejects.toSatisfy(code('conflict'))
  await expect(bind({ role: 'opperator' })).rejects.toSatisfy(code('bad_input'))
  await expect(bind({ role: 'self' })).rejects.toSatisfy(code('bad_input'))
  await expect(bind({ role: '__proto__' })).rejects.toSatisfy(code('bad_input'))
  await expect(bind({ subject: 'nobody' })).rejects.toSatisfy(code('not_found'))
  await expect(bind({ kind: 'team', subject: 'the team' })).rejects.toSatisfy(code('bad_input'))
  await expect(bind({ role: 'operator', kind: 'token', subject: admin.id })).rejects.toSatisfy(code('forbidden'))
  await expect(bind({ role: 'directory-admin' })).rejects.toSatisfy(code('wrong_state'))
  await expect(bind({ role: 'directory-admin', force: true })).rejects.toSatisfy(code('bad_input'))
  await bind({ role: 'directory-admin', force: true, reason: 'there are only two of us' })
  expect((await types()).slice(-3)).toEqual(['role.bound', 'role.forced', 'role.bound'])
})

test('another server takes a new set over within moments, also if the notification is lost', async () => {
  const other = new Policies(readPolicies(defaultFiles()))
  const stop = await watchPolicies(db.store, ctx, other)
  const night = principal({ roles: ['night'] })
  expect(other.explain(ctx, night, 'rotation:start').allowed).toBe(false)
  await bypass(await propose())
  await expect.poll(() => other.explain(ctx, night, 'rotation:start').allowed, { timeout: 5_000 }).toBe(true)
  // No notification tells of this one.
  await db.store.query("update policy_set set state = 'replaced' where state = 'active'")
  await expect.poll(() => other.explain(ctx, admin, 'rotation:start').allowed, { timeout: 5_000 }).toBe(false)
  await stop()
})

test('a set in force that cannot be read lets nobody do anything', async () => {
  await bypass(await propose())
  await db.store.query(`update policy_set set files = '[{"name": "x.cedar", "text": "permit ("}]' where state = 'active'`)
  expect((await ensurePolicySet(db.store, ctx)).policies).toEqual([])
  const stop = await watchPolicies(db.store, ctx, policies)
  expect(policies.explain(ctx, admin, 'status:read').allowed).toBe(false)
  await stop()
})

/** Two people and one token, each with the role `operator`, and who answers for nobody. */
async function operators(...names: string[]) {
  const one = (name: string) => ({ name, kind: 'human' as const, owner: name, purpose: 'works here', environment: 'prod' })
  const ids = await db.store.inTx((tx) => putIdentities(tx, ctx, permitted(ctx), names.map(one)))
  for (const name of names) await bindOperator('identity', name)
  return ids
}
const bindOperator = (kind: 'identity' | 'token' | 'team', subject: string, role = 'operator', force = false) =>
  bindRole(db.store, ctx, policies.allow(ctx, admin, 'role:bind'), admin, policies, {
    role,
    kind,
    subject,
    reason: 'they run the night shift',
    force,
  })
/** Gives the role `operator`, which rotates, a right over who exists, in a file that says nothing of force. */
const JOINS = {
  name: 'joins.cedar',
  text: '@forced("operators join people")\npermit (principal in Role::"operator", action == Action::"identity:join", resource);\n',
}
const forcedPropose = (files: readonly PolicyFile[], force: boolean, words = 'the night shift joins people') =>
  proposePolicies(db.store, ctx, policies.allow(ctx, admin, 'policy:propose'), admin, { files, words, force })

test('a set by which somebody comes to hold both hands is refused, naming whom, by what and for what, unless it is forced', async () => {
  await operators('ada', 'bob')
  const refused = forcedPropose([JOINS], false)
  await expect(refused).rejects.toSatisfy(code('wrong_state'))
  await expect(refused).rejects.toThrow(
    'ada would hold directory rights (Role::"operator": identity:join) and credential rights (Role::"operator": ',
  )
  await expect(refused).rejects.toThrow(/\bbob would hold/)
  await expect(forcedPropose([JOINS], true, 'short')).rejects.toSatisfy(code('bad_input'))
  expect(await types()).not.toContain('policy.proposed')

  const proposed = await forcedPropose([JOINS], true)
  expect(proposed.bothHands.map(({ kind, name }) => `${kind} ${name}`)).toEqual(['identity ada', 'identity bob'])
  const stored = await findPolicySet(db.store, proposed.id)
  expect(stored.bothHands).toEqual(proposed.bothHands)
  expect((await events()).at(-1)).toMatchObject({ type: 'policy.proposed', data: { bothHandsCount: 2 } })
  await bypass(proposed)
  const forced = (await events()).filter(({ type, data }) => type === 'role.forced' && data.identities !== undefined)
  expect(forced).toMatchObject([{ data: { to: 'identity', reason: 'the night shift joins people' } }])
  expect(forced[0]?.data.identities).toHaveLength(2)
  expect(await db.store.query('select reason from both_hands')).toHaveLength(2)
})

test('both hands by two roles of which the set widens one: through a team, and for a token that is nobody\u2019s', async () => {
  const ids = await operators('ada')
  const lists = { name: 'lists.cedar', text: 'permit (principal in Role::"lists", action == Action::"status:read", resource);\n' }
  await bypass(await propose([lists]))
  policies.replace(readPolicies([...defaultFiles(), lists]))
  const team = await db.store.inTx((tx) => putTeam(tx, ctx, { name: 'crew' }))
  await db.store.inTx((tx) => addTeamMembers(tx, ctx, team, { identities: [ids.get('ada') ?? ''] }))
  await bindOperator('team', team, 'lists')
  await db.store.query(`insert into api_token (id, name, hash, created_by, makers) values ($1, 'lone', '\\x00', 'test', '{}')`, [newId()])
  for (const role of ['operator', 'lists']) {
    await db.store.query(
      `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason)
       select gen_random_uuid(), $1, 'token', id, 'test', 'test' from api_token where name = 'lone'`,
      [role],
    )
  }
  const wider = { ...lists, text: 'permit (principal in Role::"lists", action == Action::"team:create", resource);\n' }
  const refused = forcedPropose([wider], false)
  await expect(refused).rejects.toThrow(/^ada would hold directory rights \(Role::"lists": team:create\)/)
  await expect(refused).rejects.toThrow(/The token lone would hold/)
})

test('who came to the role after the proposal was not forced: the set does not come into force', async () => {
  await operators('ada')
  const proposed = await forcedPropose([JOINS], true)
  await operators('bob')
  await expect(bypass(proposed)).rejects.toThrow(/Since it was proposed roles were given to others: bob would hold/)
  expect((await findPolicySet(db.store, 'active')).origin).toBe('default')
  expect(await db.store.query('select from both_hands')).toEqual([])
})

test('the proposal says who can bring it into force: without a rule one other person, or who may bypass, or as yet a token', async () => {
  const first = await propose()
  expect(first.activation).toMatchObject({ rule: false, approvers: [], bypassers: [] })
  expect(first.activation.words).toMatch(/no rule names who approves policies, and nobody .* a token that may policy:bypass can/)
  const ids = await db.store.inTx((tx) =>
    putIdentities(tx, ctx, permitted(ctx), [
      { name: 'ada', kind: 'human', owner: 'ada', purpose: 'works here', environment: 'prod' },
      { name: 'bob', kind: 'human', owner: 'bob', purpose: 'works here', environment: 'prod' },
    ]),
  )
  for (const [name, id] of ids) {
    await bindOperator('identity', name, 'security-admin')
    await enrolled(id)
  }
  const second = await propose([{ ...OWN, name: 'two.cedar' }], person(ids.get('ada') ?? ''))
  expect(second.activation).toMatchObject({ rule: false, approvers: ['bob'], bypassers: [] })
  expect(second.activation.words).toBe('Nobody was asked: no rule names who approves policies. One of these people is enough: bob.')
})

test('a hand that only a directory gives does not count, so to give it by hand brings both together, and must be forced', async () => {
  const ids = await operators('ada')
  const identities = [ids.get('ada') ?? '']
  const given = await db.store.inTx((tx) => putTeam(tx, ctx, { name: 'given', source: 'scim:corp', externalId: 'g1' }))
  const made = await db.store.inTx((tx) => putTeam(tx, ctx, { name: 'made' }))
  await bindOperator('team', given, 'directory-admin')
  await db.store.inTx((tx) => addTeamMembers(tx, ctx, given, { identities }))
  await db.store.inTx((tx) => addTeamMembers(tx, ctx, made, { identities }))
  // She holds both by the rows; what the directory gives is withheld, and nobody forced anything.
  expect(await db.store.query('select from both_hands')).toEqual([])
  await expect(bindOperator('team', made, 'directory-admin')).rejects.toThrow(/ada would hold directory rights and credential rights/)
  await bindOperator('team', made, 'directory-admin', true)
  expect(await db.store.query('select identity_id from both_hands')).toEqual([{ identity_id: identities[0] }])
})

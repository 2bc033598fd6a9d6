/** One human with several identities: counted once, and nobody's second pair of eyes is their own. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { type Ctx, type ErrorCode, isCode, makeCtx, newId } from '../kernel/index.ts'
import { type Action, type Allowed, Policies, type Principal } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { consumeApproval, decideApproval, requestApproval } from './approval.actions.ts'
import { approvalDigest } from './approval.model.ts'
import {
  activatePolicies,
  addTeamMembers,
  approvalGate,
  bindRole,
  ensureAdminToken,
  ensurePolicySet,
  fsckIdentities,
  joinIdentity,
  likelyDoubles,
  moveIdentity,
  offboardIdentity,
  proposePolicies,
  putTeam,
  readSamePerson,
  sayPerson,
} from './index.ts'
import { addProvider, authenticateScim } from './scim/provider.ts'
import { createUser } from './scim/user.actions.ts'

const ctx: Ctx = makeCtx('test', 'test')
let db: TestDatabase
let policies: Policies
let team = ''
let ada = ''
let ada2 = ''
let bob = ''
beforeAll(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
  await ensureAdminToken(db.store, ctx, async () => undefined)
})
afterAll(() => db.drop())
beforeEach(async () => {
  ada = await join()
  ada2 = await join()
  bob = await join()
  team = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [ada, ada2, bob] }))
})

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const code = (wanted: ErrorCode) => (error: unknown) => isCode(error, wanted)
const join = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api' }))
const person = (id: string, changes: Partial<Principal> = {}) =>
  principal({ id, identity: id, kind: 'person', name: 'somebody', aal: 2, authenticatedAt: new Date(), ...changes })
const may = <A extends Action>(by: Principal, action: A): Allowed<A> => policies.allow(ctx, by, action)
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
const email = (id: string, value: string) => tx((tx) => moveIdentity(tx, ctx, id, { labels: { email: value } }))
const say = (one: string, other: string, same: boolean, by = admin) =>
  sayPerson(db.store, ctx, may(by, 'identity:move'), by, policies, { one, other, same, reason: 'asked her manager', force: false })
const others = async (id: string) => (await readSamePerson(db.store, may(admin, 'identity:read'), id)).map((it) => [it.id, it.same])
const asked = { action: 'identity:offboard', subject: 'joan', what: { identity: 'joan' }, words: 'End joan.' } as const
const digest = approvalDigest(asked)
const ask = (by: Principal, count: number) => {
  const factors = [{ team, count, aal: 2, passkey: false }] as const
  return tx((tx) => requestApproval(tx, ctx, { ...asked, factors, expiresSeconds: 3_600, requestedBy: by }))
}
const approve = (id: string, by: string) =>
  tx((tx) => decideApproval(tx, ctx, person(by), id, { decision: 'approve', reason: 'read it', digest, assertion: null }))
const consume = (id: string) => tx((tx) => consumeApproval(tx, ctx, id, digest))

test('two identities of one address are one person, whatever its case, until somebody says that they are not', async () => {
  await email(ada, `Ada-${ada}@Example.org`)
  await email(ada2, `ada-${ada}@example.ORG`)
  expect(await others(ada)).toEqual([[ada2, true]])
  await expect(ask(admin, 3), 'two people cannot be three').rejects.toSatisfy(code('bad_input'))
  const id = await ask(admin, 2)
  await approve(id, ada)
  await expect(approve(id, ada2)).rejects.toThrow(/You have approved it already, as/)
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
  expect(await say(ada, ada2, false)).toBe(true)
  expect(await say(ada2, ada, false), 'the same again, from the other side').toBe(false)
  await approve(id, ada2)
  expect((await consume(id)).approvedBy).toHaveLength(2)
  expect(await others(ada2)).toEqual([[ada, false]])
})

test('what is found out after both approved bites before it is used', async () => {
  const id = await ask(admin, 2)
  await approve(id, ada)
  expect((await approve(id, ada2)).state).toBe('approved')
  await say(ada, ada2, true)
  await expect(consume(id)).rejects.toSatisfy(code('approval_required'))
  await approve(id, bob)
  expect((await consume(id)).approvedBy).toContain(bob)
})

test('nobody approves through a second identity what they asked for: not asked if it is known, not counted once it is learnt', async () => {
  await say(ada, ada2, true)
  const known = await ask(person(ada), 1)
  await expect(approve(known, ada2)).rejects.toSatisfy(code('forbidden'))
  await say(ada, ada2, false)
  const learnt = await ask(person(ada), 1)
  expect((await approve(learnt, ada2)).state).toBe('approved')
  await say(ada, ada2, true)
  await expect(consume(learnt)).rejects.toSatisfy(code('approval_required'))
  await expect(approve(learnt, ada2)).rejects.toSatisfy(code('forbidden'))
})

test('the chain counts: one whom both are is one, also beyond the team and over an identity that has left', async () => {
  const bridge = await join()
  await say(ada, bridge, true)
  await email(bridge, `bridge-${bridge}@example.org`)
  await email(ada2, `bridge-${bridge}@example.org`)
  await tx((tx) => offboardIdentity(tx, ctx, bridge, 'gone'))
  const id = await ask(admin, 2)
  await approve(id, ada)
  await expect(approve(id, ada2)).rejects.toSatisfy(code('conflict'))
})

test('no second pair of eyes for policies, and no role for oneself, through a second identity', async () => {
  await say(ada, ada2, true)
  const [one, two] = [person(ada, { roles: ['security-admin'] }), person(ada2, { roles: ['security-admin'] })]
  const files = [{ name: 'night.cedar', text: 'permit (principal in Role::"night", action == Action::"rotation:start", resource);\n' }]
  const proposed = await proposePolicies(db.store, ctx, may(one, 'policy:propose'), one, { files, words: 'nights', force: false })
  const activate = (by: Principal) => {
    const warrant = { may: may(by, 'policy:approve'), gate: approvalGate, because: 'read it' }
    return activatePolicies(db.store, ctx, by, { id: proposed.id, digest: proposed.digest, warrant })
  }
  await expect(activate(two)).rejects.toSatisfy(code('forbidden'))
  const bind = (subject: string) =>
    bindRole(db.store, ctx, may(one, 'role:bind'), one, policies, {
      role: 'operator',
      kind: 'identity',
      subject,
      reason: 'nights',
      force: false,
    })
  await expect(bind(ada2)).rejects.toThrow('Nobody binds a role to themselves')
  expect((await bind(bob)).role).toBe('operator')
  expect((await activate(person(bob, { roles: ['security-admin'] }))).state).toBe('active')
})

/** A new directory; each call pushes a user with these addresses, and resolves with the identity. */
async function pushing(): Promise<(...emails: string[]) => Promise<string>> {
  const { token } = await addProvider(db.store, ctx, may(admin, 'scim:configure'), { name: `dir ${newId()}` })
  const client = await authenticateScim(db.store, ctx, policies, token)
  return async (...emails) => {
    const body = {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: `u ${newId()}`,
      emails: emails.map((value) => ({ value })),
    }
    if (client === null) throw new Error('the token does not count')
    const { id } = await createUser(db.store, ctx, client, body)
    const [row] = await db.store.query<{ id: string }>('select identity_id as id from scim_user where id = $1', [id])
    return row?.id ?? ''
  }
}

test('another directory that pushes addresses of two approvers takes no right away from them, and gives nobody a second vote', async () => {
  const [corp, sub] = [await pushing(), await pushing()]
  const [one, two] = [`one-${newId()}@corp.org`, `two-${newId()}@corp.org`]
  const [a, b] = [await corp(one), await corp(two)]
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [a, b] }))
  const before = await ask(admin, 2)
  await approve(before, a)
  expect((await approve(before, b)).state).toBe('approved')
  const [both, first] = [await sub(one, two), await sub(one, `own-${newId()}@sub.org`)]
  expect((await consume(before)).approvedBy).toEqual(expect.arrayContaining([a, b]))
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [both, first] }))
  const after = await ask(admin, 2)
  await expect(approve(after, both), 'who may be two people is nobody').rejects.toSatisfy(code('not_found'))
  await approve(after, a)
  // `first` is joined to `both` by their own directory, and so may be two people too.
  await expect(approve(after, first)).rejects.toSatisfy(code('not_found'))
  expect((await approve(after, b)).state).toBe('approved')
  // What one asks for whom two people may be is approved by neither of them.
  const theirs = await ask(person(both), 1)
  for (const who of [a, b]) await expect(approve(theirs, who)).rejects.toSatisfy(code('forbidden'))
  expect((await approve(theirs, bob)).state).toBe('approved')
  // Somebody says who is who: then it is one person, and counts as that.
  for (const [x, y] of [
    [both, b],
    [first, b],
  ] as const)
    await say(x, y, false)
  const known = await ask(admin, 2)
  await approve(known, first)
  await expect(approve(known, a)).rejects.toSatisfy(code('conflict'))
  expect((await approve(known, b)).state).toBe('approved')
})

/** How one address is written twice, so that neither a byte nor PostgreSQL's `lower` in the C locale sees that it is one. */
const SPELLINGS = [
  ['ZOË@example.org', 'ZOË@example.org', 'the same bytes'],
  ['josé@example.org', 'JOSÉ@Example.org', 'é and É'],
  ['νίκος@example.gr', 'ΝΊΚΟΣ@example.gr', 'Greek'],
  ['иван@пример.рф', 'ИВАН@xn--e1afmkfd.xn--p1ai', 'Cyrillic'],
  ['max@example.org', 'ｍａｘ＠ｅｘａｍｐｌｅ．ｏｒｇ', 'full width'],
  ['max@bücher.example', 'max@xn--bcher-kva.example', 'punycode'],
  ['max@example.org', 'max@example.org.', 'a dot at the end'],
] as const

test.each(SPELLINGS)('%s and %s are one human (%s): in approvals and in both hands', async (said, other, what) => {
  const directory = await pushing()
  const own = (address: string) => address.replace(/[@＠]/u, `-${ada}-${what.length}$&`)
  const [pushed, labelled] = [own(said), own(other)]
  const a = await directory(pushed)
  await email(ada, labelled)
  await email(ada2, pushed)
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [a] }))
  // Whoever a directory knows by it may be whoever has it by a label, and two who have it by a label are one.
  const byLabel = await ask(person(ada), 1)
  await expect(approve(byLabel, ada2)).rejects.toSatisfy(code('forbidden'))
  await expect(approve(byLabel, a)).rejects.toSatisfy(code('forbidden'))
  expect((await approve(byLabel, bob)).state).toBe('approved')
  const pushedAsks = await ask(person(a), 1)
  for (const same of [ada, ada2]) await expect(approve(pushedAsks, same)).rejects.toSatisfy(code('forbidden'))
  const two = await ask(admin, 2)
  await approve(two, ada)
  for (const same of [ada2, a]) await expect(approve(two, same)).rejects.toSatisfy((error) => !isCode(error, 'internal'))
  await expect(consume(two)).rejects.toSatisfy(code('approval_required'))
  const bind = (role: string, subject: string) =>
    bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, { role, kind: 'identity', subject, reason: 'nights', force: false })
  await bind('directory-admin', ada)
  for (const same of [ada2, a]) await expect(bind('credential-admin', same)).rejects.toSatisfy(code('wrong_state'))
  expect((await bind('credential-admin', bob)).role).toBe('credential-admin')
  expect(await fsckIdentities(db.store)).toEqual([])
})

test('likely doubles are found until somebody has said what they are; who left is none', async () => {
  const found = async () => {
    const names: string[] = []
    for (let after: string | null = null; ; ) {
      const page: Awaited<ReturnType<typeof likelyDoubles>> = await likelyDoubles(db.store, { after, limit: 2 })
      names.push(...page.found.map(({ id }) => id))
      if (page.last === null) return names.filter((id) => [ada, ada2, bob].includes(id))
      after = page.last
    }
  }
  await email(ada, `one-${ada}@example.org`)
  await email(ada2, `one-${ada}@example.org`)
  expect(await found()).toEqual([ada])
  await say(ada, ada2, true)
  expect(await found()).toEqual([])
  await email(bob, `one-${ada}@example.org`)
  expect(await found()).toEqual([ada, ada2])
  await tx((tx) => offboardIdentity(tx, ctx, bob, 'gone'))
  expect(await found()).toEqual([])
})

test('it is said of people, by others, of two', async () => {
  await expect(say(ada, ada, true)).rejects.toSatisfy(code('bad_input'))
  await expect(say(ada, newId(), true)).rejects.toSatisfy(code('not_found'))
  const self = person(ada, { roles: ['directory-admin'] })
  await expect(say(ada, bob, false, self)).rejects.toSatisfy(code('forbidden'))
  await say(ada, ada2, true)
  await expect(say(ada2, bob, false, self), 'nor through the other one').rejects.toSatisfy(code('forbidden'))
  expect(await fsckIdentities(db.store)).toEqual([])
})

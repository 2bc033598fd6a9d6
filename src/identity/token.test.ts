import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, type Log, makeCtx, newId, Secret } from '../kernel/index.ts'
import { ACTIONS, type Action, overlay, Policies, type Principal, readPolicies } from '../policy/index.ts'
import { defaultFiles, defaultPolicies } from '../policy/set.ts'
import { allowed, permitted, principal } from '../policy/testing.ts'
import {
  authenticate,
  bindRole,
  createToken,
  ensureAdminToken,
  offboardIdentity,
  proveDeadTokens,
  putIdentities,
  type RotateInput,
  readTokens,
  removeIdentities,
  revokeOrphanTokens,
  revokeToken,
  rotateToken,
  suspendIdentity,
  type TokenInput,
  TokenUses,
  tokensOnRecord,
} from './index.ts'
import { isMistyped, newTokenText } from './token.text.ts'

const lines: string[] = []
const write = (fields: Record<string, unknown>, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
const log: Log = { info: write, warn: write, error: write }
const ctx = makeCtx('test', 'tokens', { log })
const policies = new Policies(defaultPolicies())
const code = (wanted: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, wanted)
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
const WATCHED = newId()
let db: TestDatabase
beforeEach(async () => {
  lines.length = 0
  db = await freshDatabase()
})
afterEach(() => db.drop())

const parts = (more: object = {}) => ({ store: db.store, policies, ...more })
const input = (more: Partial<TokenInput> = {}): TokenInput => ({
  name: 'deploy',
  roles: ['operator'],
  scope: null,
  environments: null,
  expiresSeconds: null,
  identity: null,
  actsFor: null,
  reason: 'tests',
  force: false,
  ...more,
})
const make = (more: Partial<TokenInput> = {}, by: Principal = admin, on = parts()) =>
  createToken(on, ctx, policies.allow(ctx, by, 'token:create'), by, input(more))
const rotate = (token: string, more: Partial<RotateInput> = {}, by: Principal = admin) =>
  rotateToken(parts(), ctx, policies.allow(ctx, by, 'token:rotate'), by, { token, overlapSeconds: null, expiresSeconds: null, ...more })
const revoke = (token: string, more: { reason?: string; force?: boolean } = {}) =>
  revokeToken(parts(), ctx, allowed(ctx, 'token:revoke'), { token, reason: 'tests', force: false, ...more })
const who = (token: Secret) => authenticate(db.store, ctx, token)
const join = async (name: string, kind: 'human' | 'workload' | 'agent' = 'workload') =>
  (
    await db.store.inTx((tx) =>
      putIdentities(tx, ctx, permitted(ctx), [{ name, kind, owner: 'team', purpose: 'tests', environment: 'test' }]),
    )
  ).get(name) ?? ''
const first = async () => {
  let text = ''
  await ensureAdminToken(db.store, ctx, async (made) => {
    text = made
  })
  return Secret.fromText(text)
}
const events = async (type: string) =>
  db.store.query<{ data: Record<string, unknown>; links: Record<string, unknown> }>(
    `select body::jsonb -> 'data' as data, body::jsonb -> 'links' as links from evidence_event
      where body::jsonb ->> 'type' = $1 order by id`,
    [type],
  )

test('the text of a token carries a sum, so that one that was mistyped or made up is known without asking', () => {
  const texts = Array.from({ length: 50 }, () => newTokenText().revealText((text) => text))
  expect(new Set(texts).size).toBe(50)
  for (const text of texts) expect([text, isMistyped(text)]).toEqual([expect.stringMatching(/^rekey_[0-9A-Za-z]{49}$/), false])
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.integer({ min: 6, max: 54 }), fc.constantFrom(...'09AZaz'), (text, at, char) => {
      const changed = `${text.slice(0, at)}${char}${text.slice(at + 1)}`
      expect(isMistyped(changed)).toBe(changed !== text)
    }),
  )
  // Of the first release, and of others: they are looked up.
  for (const text of ['rekey_', `rekey_${'A'.repeat(43)}`, 'rekey_scim_x', 'x']) expect(isMistyped(text)).toBe(false)
})

test('a token is who it was made to be, and only its hash is stored', async () => {
  const identity = await join('orders-api')
  const made = await make({ identity: 'orders-api', scope: ['rotation:start', 'rotation:read'], environments: ['test'] })
  expect(await who(made.token)).toMatchObject({
    id: made.id,
    kind: 'token',
    identity,
    roles: ['operator'],
    scope: ['rotation:read', 'rotation:start'],
    environments: ['test'],
    attestation: 'token',
    teams: [],
  })
  const [stored] = await db.store.query<{ all: string }>(
    "select string_agg(t::text, ' ') || (select string_agg(e::text, ' ') from evidence_event e) as all from api_token t",
  )
  made.token.revealText((text) => expect(stored?.all).not.toContain(text.slice(6)))
  expect(await events('token.created')).toMatchObject([
    { data: { roles: ['operator'], environments: ['test'] }, links: { token: made.id, identity } },
  ])
  expect(Math.round(((made.expiresAt?.getTime() ?? 0) - Date.now()) / 86_400_000)).toBe(30)
})

test('ended, revoked, of somebody who is suspended, mistyped: nobody', async () => {
  await first()
  const identity = await join('orders-api')
  const made = await make({ identity: 'orders-api' })
  expect(await who(made.token.revealText((text) => Secret.fromText(`${text.slice(0, -1)}-`)))).toBeNull()
  await db.store.inTx((tx) => suspendIdentity(tx, ctx, identity, 'tests'))
  expect(await who(made.token)).toBeNull()
  expect(await tokensOnRecord(db.store, { ended: false, identity, after: null, limit: 9 })).toMatchObject([{ state: 'suspended' }])
  await db.store.query("update identity set status = 'active'")
  expect(await who(made.token)).not.toBeNull()
  await db.store.query('update api_token set expires_at = now() where id = $1', [made.id])
  expect(await who(made.token)).toBeNull()
  await expect(rotate('deploy')).rejects.toSatisfy(code('not_found'))
  const other = await make({ name: 'other' })
  expect(await revoke('other')).toEqual([other.id])
  expect(await who(other.token)).toBeNull()
  await expect(revoke('other')).rejects.toSatisfy(code('not_found'))
})

test('a token whose identity is removed is refused, and does not keep it from going', async () => {
  await first()
  await join('orders-api')
  const made = await make({ identity: 'orders-api' })
  await db.store.inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['orders-api']))
  expect(await who(made.token)).toBeNull()
  expect(await revokeOrphanTokens(db.store, ctx)).toBe(1)
  expect(await revokeOrphanTokens(db.store, ctx)).toBe(0)
})

test.each<[string, Partial<TokenInput>]>([
  ['an unknown role', { roles: ['everything'] }],
  ['the role that only people have', { roles: ['self'] }],
  ['neither role nor scope', { roles: [] }],
  ['an empty scope', { scope: [] }],
  ['an unknown action', { scope: ['everything:do'] }],
  ['no environment at all', { environments: [] }],
  ['a name that is an id', { name: newId() }],
  ['a name with a line break', { name: 'a\nb' }],
  ['too long a life', { expiresSeconds: 91 * 86_400 }],
  ['no life', { expiresSeconds: 0 }],
  ['somebody to act for who is no agent', { identity: 'orders-api', actsFor: 'ada' }],
  ['an agent that acts for nobody', { identity: 'bot', scope: ['rotation:start'], environments: ['test'] }],
  ['an agent without limits', { identity: 'bot', actsFor: 'ada' }],
  ['an agent that acts for an agent', { identity: 'bot', actsFor: 'bot', scope: ['rotation:start'], environments: ['test'] }],
])('a token with %s is refused', async (_what, more) => {
  await join('orders-api')
  await join('ada', 'human')
  await join('bot', 'agent')
  await expect(make(more)).rejects.toSatisfy(code('bad_input'))
  expect(await db.store.query('select 1 from api_token')).toEqual([])
})

/** A policy set in which a `maker` may make tokens beside whatever `more` says. */
function making(more = ''): Policies {
  const both = '[Action::"token:create", Action::"token:rotate"]'
  const text = `@id("make") permit (principal in Role::"maker", action in ${both}, resource);\n${more}`
  return new Policies(readPolicies(overlay(defaultFiles(), [{ name: 'own.cedar', text }])))
}
let count = 0
const makeUnder = async (set: Policies, by: Principal, more: Partial<TokenInput>) =>
  createToken({ store: db.store, policies: set }, ctx, set.allow(ctx, by, 'token:create'), by, input({ name: `token-${++count}`, ...more }))

test('no token has more rights than its maker: by roles, by scope, by environment, by condition, by time', async () => {
  const set = making(`@id("half") permit (principal in Role::"half", action == Action::"identity:read", resource)
when { resource is Installation || (resource has environment && resource.environment == "test") };
@id("not-ada") forbid (principal == Token::"${WATCHED}", action == Action::"rotation:undo", resource);`)
  const refused = async (by: Partial<Principal>, more: Partial<TokenInput>) =>
    expect(makeUnder(set, principal({ id: newId(), roles: ['maker'], ...by }), more), JSON.stringify([by, more])).rejects.toSatisfy(
      (error) => isCode(error, 'forbidden') || isCode(error, 'bad_input'),
    )
  await refused({}, { roles: ['operator'] })
  await refused({ roles: ['maker', 'auditor'] }, { roles: ['operator'] })
  await refused({ roles: ['maker', 'operator'] }, { roles: ['operator', 'credential-admin'] })
  // Read everywhere is more than read in one environment, though both may read something.
  await refused({ roles: ['maker', 'half'] }, { roles: ['auditor'], scope: ['identity:read'] })
  await refused({ roles: ['maker', 'operator'], scope: ['token:create', 'rotation:read'] }, { roles: ['operator'] })
  await refused({ roles: ['maker', 'operator'], environments: ['test'] }, { roles: ['operator'], environments: ['test', 'prod'] })
  await refused({ roles: ['maker', 'operator'], environments: ['test'] }, { roles: ['operator'] })
  await refused({ roles: ['maker', 'operator'], id: WATCHED }, { roles: ['operator'] })
  await refused({ roles: ['bootstrap-admin'], within: principal() }, { roles: ['auditor'] })
  const good = (by: Partial<Principal>, more: Partial<TokenInput>) =>
    makeUnder(set, principal({ id: newId(), roles: ['maker'], ...by }), more)
  await good({ roles: ['maker', 'operator'] }, { roles: ['operator'] })
  await good({ roles: ['maker', 'half'] }, { roles: ['half'] })
  // Credentials without a condition hold what an operator may, but for what is not of credentials.
  await good({ roles: ['maker', 'credential-admin'] }, { roles: ['operator'] })
  await good({ roles: ['maker', 'operator'], scope: ['token:create', 'rotation:read'] }, { roles: ['operator'], scope: ['rotation:read'] })
  await good({ roles: ['maker', 'operator'], id: WATCHED }, { roles: ['operator'], scope: ['rotation:start'] })
})

test('never more than its maker: what any token may do on anything, its maker may', async () => {
  const roles = ['operator', 'auditor', 'credential-admin', 'directory-admin', 'security-admin', 'maker']
  const set = making()
  const environments = ['test', 'prod']
  const cases = fc.record({
    makerRoles: fc.subarray(roles),
    tokenRoles: fc.subarray(roles, { minLength: 1 }),
    makerScope: fc.option(fc.subarray([...ACTIONS])),
    scope: fc.option(fc.subarray([...ACTIONS], { minLength: 1 })),
  })
  let made = 0
  await fc.assert(
    fc.asyncProperty(cases, async ({ makerRoles, tokenRoles, makerScope, scope }) => {
      const by = principal({
        id: newId(),
        roles: [...new Set(['maker', ...makerRoles])],
        scope: makerScope && [...makerScope, 'token:create'],
      })
      const token = await makeUnder(set, by, { roles: tokenRoles, scope, force: true, reason: 'a property of tokens' }).catch(
        (error: unknown) => {
          if (isCode(error, 'forbidden')) return null
          throw error
        },
      )
      const asked = token === null ? null : await who(token.token)
      if (asked === null) return
      made++
      for (const action of ACTIONS as readonly Action[]) {
        if (!set.explain(ctx, asked, action).allowed) continue
        expect(set.explain(ctx, by, action).allowed, `${action} ${by.roles} ${tokenRoles}`).toBe(true)
        if (action !== 'rotation:start') continue
        for (const environment of environments) {
          const on = { type: 'credential', id: 'c', environment } as const
          if (set.explain(ctx, asked, action, on).allowed) expect(set.explain(ctx, by, action, on).allowed).toBe(true)
        }
      }
    }),
    { numRuns: 60 },
  )
  expect(made).toBeGreaterThan(3)
}, 60_000)

test('a token that makes a token gives it no longer life than its own', async () => {
  const one = await make({ roles: ['bootstrap-admin'], expiresSeconds: 3_600, force: true, reason: 'for this test only' })
  const by = await who(one.token)
  const two = await make({ name: 'two' }, by ?? admin)
  expect(two.expiresAt).toEqual(one.expiresAt)
  expect((await make({ name: 'three' }, by ?? admin, parts({ tokenMaxSeconds: 60 }))).expiresAt?.getTime()).toBeLessThan(
    Date.now() + 61_000,
  )
})

test('both hands in one token only by force, with a reason', async () => {
  await expect(make({ roles: ['operator', 'directory-admin'] })).rejects.toSatisfy(code('wrong_state'))
  await expect(make({ roles: ['operator', 'directory-admin'], force: true, reason: 'short' })).rejects.toSatisfy(code('bad_input'))
  expect(await make({ roles: ['operator', 'directory-admin'], force: true, reason: 'because of the move' })).toBeDefined()
})

test('a token without roles does what its maker may at the moment, within its scope', async () => {
  const ada = await join('ada', 'human')
  const by = principal({ id: ada, identity: ada, kind: 'person', roles: ['security-admin'], aal: 3, authenticatedAt: new Date() })
  const made = await make({ roles: [], scope: ['rotation:start', 'status:read'], identity: 'ada' }, by)
  expect(await who(made.token)).toMatchObject({ roles: [], identity: ada, scope: ['rotation:start', 'status:read'] })
  const bind = { role: 'operator', kind: 'identity', subject: ada, reason: 'tests', force: false } as const
  await bindRole(db.store, ctx, allowed(ctx, 'role:bind'), admin, policies, bind)
  expect(await who(made.token)).toMatchObject({ roles: ['operator'], kind: 'token' })
  await expect(rotate('deploy')).rejects.toSatisfy(code('forbidden'))
  // Another token of hers may hold less than she does: it gets neither this text nor one like it.
  const other = principal({ id: newId(), identity: ada, roles: ['security-admin'] })
  await expect(rotate('deploy', {}, other)).rejects.toSatisfy(code('forbidden'))
  const more = { name: 'more', roles: [], scope: ['rotation:start'], identity: 'ada' }
  await expect(make(more, other)).rejects.toSatisfy(code('forbidden'))
  await expect(make(more)).rejects.toSatisfy(code('forbidden'))
  await expect(make(more, { ...by, scope: ['token:create'] })).rejects.toSatisfy(code('forbidden'))
  await expect(rotate('deploy', {}, by)).resolves.toBeDefined()
})

test('a token of an agent is that agent, bounded by whom it acts for', async () => {
  const [bot, ada] = [await join('bot', 'agent'), await join('ada', 'human')]
  const made = await make({ identity: 'bot', actsFor: 'ada', scope: ['rotation:start', 'rotation:read'], environments: ['test'] })
  const asked = await who(made.token)
  expect(asked).toMatchObject({ id: bot, kind: 'agent', actsFor: { identity: ada }, within: { identity: ada } })
  const on = { type: 'credential', id: 'c', environment: 'test' } as const
  expect(asked && policies.explain(ctx, asked, 'rotation:start', on).allowed).toBe(false)
  const bind = { role: 'operator', kind: 'identity', subject: ada, reason: 'tests', force: false } as const
  await bindRole(db.store, ctx, allowed(ctx, 'role:bind'), admin, policies, bind)
  const again = await who(made.token)
  expect(again && policies.explain(ctx, again, 'rotation:start', on).allowed).toBe(true)
  await db.store.inTx((tx) => suspendIdentity(tx, ctx, ada, 'tests'))
  expect(await who(made.token)).toBeNull()
})

test('a rotation gives the same rights to a new text; the old one ends with its overlap, and not later than it would have', async () => {
  const made = await make({ scope: ['rotation:start'], environments: ['test'] })
  const next = await rotate('deploy', { overlapSeconds: 60 })
  expect([await who(made.token), await who(next.token)]).toMatchObject([
    { id: made.id },
    { id: next.id, roles: ['operator'], scope: ['rotation:start'] },
  ])
  expect(Math.round(((next.oldEndsAt?.getTime() ?? 0) - Date.now()) / 1000)).toBeGreaterThan(50)
  const last = await rotate('deploy', { overlapSeconds: 0 })
  expect(await who(next.token)).toBeNull()
  expect(await who(last.token)).not.toBeNull()
  await expect(rotate(made.id)).rejects.toSatisfy(code('not_found'))
  const short = await make({ name: 'short', expiresSeconds: 30 })
  expect((await rotate('short')).oldEndsAt).toEqual(short.expiresAt)
})

test('nobody gets the rights of a token by rotating it, but the token itself', async () => {
  const set = making()
  const made = await make({ roles: ['credential-admin'] })
  const by = principal({ roles: ['maker', 'operator'] })
  const may = set.allow(ctx, by, 'token:rotate')
  const how = { token: 'deploy', overlapSeconds: null, expiresSeconds: null }
  await expect(rotateToken({ store: db.store, policies: set }, ctx, may, by, how)).rejects.toSatisfy(code('forbidden'))
  const self = await who(made.token)
  await expect(rotateToken({ store: db.store, policies: set }, ctx, may, self ?? by, how)).resolves.toMatchObject({ name: 'deploy' })
})

test('the first token is listed, rotated and revoked like any other, but for the last way in', async () => {
  const text = await first()
  expect(
    (await readTokens(db.store, allowed(ctx, 'token:list'), { ended: false, identity: null, after: null, limit: 5 })).items,
  ).toMatchObject([{ name: 'admin', roles: ['bootstrap-admin'], state: 'active', expiresAt: null, createdBy: 'setup' }])
  await expect(revoke('admin')).rejects.toSatisfy(code('wrong_state'))
  const next = await rotate('admin', { overlapSeconds: 0 })
  expect([await who(text), next.expiresAt]).toEqual([null, null])
  expect(await who(next.token)).toMatchObject({ roles: ['bootstrap-admin'] })
  // Another token is a way in, but nobody could change policy with it.
  await make()
  await expect(revoke('admin')).rejects.toSatisfy(code('wrong_state'))
  await expect(revoke('admin', { force: true, reason: 'short' })).rejects.toSatisfy(code('bad_input'))
  expect(await who(next.token)).not.toBeNull()
  await revoke('admin', { force: true, reason: 'people have taken over' })
  await revoke('deploy', { force: true, reason: 'people have taken over' })
  // It was meant so: the next start does not let somebody with a shell in again.
  expect(await ensureAdminToken(db.store, ctx, async () => expect.unreachable())).toBe(false)
})

test('two that revoke at once do not take the last two ways in', async () => {
  await first()
  await make({ name: 'second', roles: ['bootstrap-admin'], force: true, reason: 'for this test only' })
  const done = await Promise.allSettled([revoke('admin'), revoke('second')])
  expect(done.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
})

test('what ended is proven dead: tried by the server and refused, while another is accepted', async () => {
  await first()
  const [ended, revoked] = [await make({ name: 'ended' }), await make({ name: 'revoked' })]
  expect(await proveDeadTokens(db.store, ctx)).toBe(0)
  await db.store.query('update api_token set expires_at = now() where id = $1', [ended.id])
  await revoke('revoked')
  // Two processes at once prove each once.
  const done = await Promise.all([proveDeadTokens(db.store, ctx), proveDeadTokens(db.store, ctx)])
  expect(done[0] + done[1]).toBe(2)
  expect(await events('token.proven_dead')).toMatchObject([
    { data: { end: 'expired', control: 'accepted' }, links: { token: ended.id } },
    { data: { end: 'revoked', control: 'accepted' }, links: { token: revoked.id } },
  ])
  expect(await proveDeadTokens(db.store, ctx)).toBe(0)
  expect(
    (await tokensOnRecord(db.store, { ended: true, identity: null, after: null, limit: 9 })).map((one) => one.provenDeadAt !== null),
  ).toEqual([false, true, true])
})

test('offboarding takes the tokens of an identity, and those of agents that act for it', async () => {
  await first()
  const ada = await join('ada', 'human')
  await join('bot', 'agent')
  const limits = { scope: ['rotation:start'], environments: ['test'] }
  const own = await make({ name: 'own', identity: 'ada' })
  const agents = await make({ name: 'agents', identity: 'bot', actsFor: 'ada', ...limits })
  const others = await make({ name: 'others' })
  await db.store.inTx((tx) => offboardIdentity(tx, ctx, ada, 'tests'))
  expect([await who(own.token), await who(agents.token)]).toEqual([null, null])
  expect(await Promise.all([revokeOrphanTokens(db.store, ctx), revokeOrphanTokens(db.store, ctx)])).toEqual(expect.arrayContaining([2]))
  expect(await events('token.revoked')).toHaveLength(2)
  expect(await proveDeadTokens(db.store, ctx)).toBe(2)
  expect(await who(others.token)).not.toBeNull()
})

test('the last use is known to the minute, without a write at each request', async () => {
  const made = await make()
  const uses = new TokenUses(db.store, ctx)
  for (let n = 0; n < 1_000; n++) uses.note(made.id)
  const read = async () => (await tokensOnRecord(db.store, { ended: false, identity: null, after: null, limit: 1 }))[0]?.lastUsedAt
  expect(await read()).toBeNull()
  await uses.write()
  const at = await read()
  expect([at?.getSeconds(), Date.now() - (at?.getTime() ?? 0) < 61_000]).toEqual([0, true])
  const changes = async () => (await db.store.query<{ xmin: string }>('select xmin::text from api_token'))[0]?.xmin
  const before = await changes()
  uses.note(made.id)
  await uses.close()
  expect(await changes()).toBe(before)
})

test('a list shows what the asker may see, and pages go on behind what is left out', async () => {
  const set = making(`@id("l") permit (principal in Role::"look", action == Action::"token:list", resource)
when { resource is Installation || (resource has environment && resource.environment == "test") };`)
  for (const [name, environments] of [
    ['a', ['prod']],
    ['b', ['test']],
    ['c', null],
    ['d', ['test', 'prod']],
    ['e', ['test']],
  ] as const) {
    await make({ name, environments })
  }
  const may = set.allow(ctx, principal({ roles: ['look'] }), 'token:list')
  const names: string[] = []
  for (let after: string | null = null, n = 0; n < 9; n++) {
    const page = await readTokens(db.store, may, { ended: false, identity: null, after, limit: 2 })
    names.push(...page.items.map(({ name }) => name))
    after = page.next
    if (after === null) break
  }
  expect(names).toEqual(['b', 'e'])
})

/** Made from the route table, so that no route can be forgotten. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { rolesIn } from '../identity/index.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { ALWAYS, defaultPolicies, Policies } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import { BODY_BYTES } from './route.ts'
import { ROUTES } from './routes/index.ts'
import { TestServer } from './testing.ts'

/** What nobody can have logged in for: asked by pages of our own only. */
const LOGIN = ['enrol', 'oidc', 'passkey'].flatMap((way) => [`POST /v1/login/${way}/begin`, `POST /v1/login/${way}/finish`])
/** What may be asked without a token. This list may only shrink. */
const OPEN = ['GET /healthz', 'GET /metrics', 'GET /readyz', 'GET /v1/login', 'GET /v1/openapi.json', ...LOGIN]
/** What no token may, whatever its roles (`approvals-are-for-people`). */
const FOR_PEOPLE: readonly string[] = ['approval:bypass', 'approval:decide', 'policy:approve']

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const named = ROUTES.map((route) => ({ name: `${route.method} ${route.path}`, route }))
const closed = named.filter(({ route }) => route.action !== null)
/** What no token may do, whatever its roles: it is refused before anything else is looked at. */
const policies = new Policies(defaultPolicies())
const admin = principal({ roles: ['bootstrap-admin'] })
const peopleOnly = ({ action }: (typeof ROUTES)[number]) =>
  action !== null && !policies.explain(makeCtx('test', 'test'), admin, action).allowed
/** Some value for every parameter. */
const filled = (path: string) => path.replace(':id', newId()).replaceAll(/:\w+/g, 'some%20thing')

test('every file under routes/ that declares a route is in the table, once', () => {
  const folder = new URL('routes', import.meta.url).pathname
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  const declaring = files.filter((path) => /= route\(/.test(readFileSync(join(folder, path), 'utf8')))
  expect(declaring).toHaveLength(ROUTES.length)
  expect(new Set(named.map(({ name }) => name)).size).toBe(ROUTES.length)
})

test('only these routes are open', () => {
  expect(
    named
      .filter(({ route }) => route.action === null)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(OPEN)
})

test.each(closed)('$name refuses a stranger, in the same bytes whether without a token or with a wrong one', async ({ route }) => {
  const path = filled(route.path)
  // A body that would be too large: who has no token is refused before it is read.
  const body = route.method === 'POST' ? { x: 'x'.repeat(BODY_BYTES) } : undefined
  const none = await server.send(route.method, path, { token: null, body })
  const wrong = await server.send(route.method, path, { token: `rekey_${'A'.repeat(43)}`, body })
  const malformed = await server.send(route.method, path, { headers: { authorization: 'Basic YTpi' }, token: null, body })
  expect([none.status, wrong.status, malformed.status]).toEqual([401, 401, 401])
  expect(none.headers.get('www-authenticate')).toBe('Bearer')
  expect(none.body.code).toBe('unauthenticated')
  expect(wrong.text).toBe(none.text)
  expect(malformed.text).toBe(none.text)
})

test.each(closed)('$name refuses a token that was revoked', async ({ route }) => {
  const other = await revokedToken(server)
  expect((await server.send(route.method, filled(route.path), { token: other })).status).toBe(401)
})

test.each(closed)(
  '$name refuses a session that has ended, in the bytes of a stranger, and one whose page is another',
  async ({ route }) => {
    const path = filled(route.path)
    const stranger = await server.send(route.method, path, { token: null })
    const own = { origin: server.url, 'x-rekey-request': '1' }
    for (const seconds of [-1, 0]) {
      const ended = await sessionOf(server, { seconds, idle: seconds < 0 ? 3600 : 0 })
      const answer = await server.send(route.method, path, { token: null, headers: { ...own, cookie: ended } })
      expect(answer.status).toBe(401)
      expect(answer.text).toBe(stranger.text)
    }
    if (route.method === 'GET') return
    const live = await sessionOf(server, { seconds: 3600, idle: 3600 })
    const forged = await server.send(route.method, path, { token: null, headers: { cookie: live, origin: 'http://localhost:1' } })
    expect(forged.status).toBe(403)
    expect(forged.body.detail).toBe('The request does not come from a page of this server.')
  },
)

/** What depends on no role: its use case answers for the asker's own and nothing else (`not_found`). */
const byRole = closed.filter(({ route }) => route.action !== null && !ALWAYS.includes(route.action))

test('only this depends on no role', () => {
  expect(closed.filter((one) => !byRole.includes(one)).map(({ name }) => name)).toEqual(['POST /v1/approvals/:id/withdraw'])
})

test.each(byRole)('$name refuses whoever has another role', async ({ route }) => {
  const action = route.action ?? 'status:read'
  const role = rolesIn(defaultPolicies()).find(({ role, actions }) => role !== 'self' && !actions.includes(action))?.role ?? ''
  const token = await tokenWith(server, role)
  const first = await server.send(route.method, filled(route.path), { token, body: route.method === 'POST' ? { surprise: 1 } : undefined })
  expect(first.status).toBe(403)
  expect(first.body.code).toBe('forbidden')
  expect(first.text).not.toContain(role)
  // Nothing of it depends on what there is.
  const other = await server.send(route.method, filled(route.path), { token })
  expect(other.body.detail).toBe(first.body.detail)
  // Neither does a token with no role at all do anything.
  expect((await server.send(route.method, filled(route.path), { token: await tokenWith(server, null) })).status).toBe(403)
})

const first = rolesIn(defaultPolicies()).find(({ role }) => role === 'bootstrap-admin')?.actions ?? []
/** What the first token may ask. The rest is for people, who prove themselves otherwise. */
const tokens = named.filter(({ route }) => route.action === null || !FOR_PEOPLE.includes(route.action))

test('only these actions are for people alone', async () => {
  expect(first).toEqual(expect.arrayContaining([...FOR_PEOPLE]))
  for (const { route } of closed.filter(({ route }) => FOR_PEOPLE.includes(route.action ?? ''))) {
    expect((await server.send(route.method, filled(route.path), { body: {} })).status).toBe(403)
  }
})

test.each(tokens.filter(({ route }) => route.method === 'POST'))('$name refuses unknown fields of a body', async ({ route }) => {
  const canary = `canary-${newId()}`
  const answer = await server.post(filled(route.path), { surprise: canary })
  expect(answer.text).not.toContain(canary)
  if (peopleOnly(route)) return expect(answer.status).toBe(403)
  expect(answer.status).toBe(400)
  expect(answer.body.code).toBe('bad_input')
  expect(answer.text).toContain('surprise')
})

test.each(tokens)('$name refuses unknown fields of a query', async ({ route }) => {
  const answer = await server.send(route.method, `${filled(route.path)}?surprise=1`)
  expect(answer.status).toBe(peopleOnly(route) ? 403 : 400)
})

const missing = named.filter(({ route }) => route.method === 'GET' && /:/.test(route.path))

test.each(missing)('$name answers for two things that are not there in the same words: nothing else shows', async ({ route }) => {
  expect(missing.length).toBeGreaterThan(3)
  const ask = async (name: string) => {
    const answer = await server.get(route.path.replace(/:\w+/, name))
    expect(answer.status).toBe(404)
    expect(answer.body.code).toBe('not_found')
    return answer.text.replaceAll(name, '*')
  }
  expect(await ask(newId())).toBe(await ask(newId()))
})

/** A token that holds one role, or none. */
async function tokenWith({ db }: TestServer, role: string | null): Promise<string> {
  const text = `rekey_${newId()}`
  const id = newId()
  await db.store.query("insert into api_token (id, name, hash) values ($1, 'some', sha256(convert_to($2, 'UTF8')))", [id, text])
  if (role !== null) {
    await db.store.query(
      "insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, 'token', $3, 'test', 'test')",
      [newId(), role, id],
    )
  }
  return text
}

/** The cookie of a person's session that ends in so many seconds, or after so long at rest. */
async function sessionOf({ db }: TestServer, { seconds, idle }: { seconds: number; idle: number }): Promise<string> {
  const [token, person] = [randomToken(), newId()]
  const columns = 'id, name, name_key, kind, owner, purpose, environment'
  await db.store.query(`insert into identity (${columns}) values ($1, $2, $2, 'human', 'x', 'x', 'x')`, [person, `person ${person}`])
  await db.store.query(
    `insert into session (id, hash, identity_id, aal, authenticated_at, method, browser, ends_at, idle_seconds)
     values ($1, sha256(convert_to($2, 'UTF8')), $3, 3, now(), 'oidc', '', now() + make_interval(secs => $4), $5)`,
    [newId(), token, person, seconds || 3600, idle],
  )
  return `rekey-session=${token}`
}

const randomToken = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')

/** A token that was good once. */
async function revokedToken({ db }: TestServer): Promise<string> {
  const text = `rekey_${newId()}`
  await db.store.query("insert into api_token (id, name, hash, revoked_at) values ($1, 'gone', sha256(convert_to($2, 'UTF8')), now())", [
    newId(),
    text,
  ])
  return text
}

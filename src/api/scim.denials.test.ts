/** Made from the route table, so that no route can be forgotten. And: tokens, their rotation, and their two worlds. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { ROUTES } from './routes/index.ts'
import { SCIM_ROUTES } from './routes/scim/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { TestServer } from './testing.ts'

let server: TestServer
let idp: Provider
beforeAll(async () => {
  server = await TestServer.start()
  idp = await Provider.add(server, 'idp')
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const named = SCIM_ROUTES.map((route) => ({
  name: `${route.method} ${route.path}`,
  route,
  path: `/scim/v2${route.path.replace(':id', newId())}`,
}))

test('every file under routes/scim/ that declares a route is in the table', () => {
  const folder = new URL('routes/scim', import.meta.url).pathname
  const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
  const declaring = texts.filter((text) => /\bscimRoute\(/.test(text) && !text.includes('meRoutes ='))
  expect(SCIM_ROUTES.filter(({ path }) => !['/Me', '/Bulk'].includes(path))).toHaveLength(declaring.length)
  expect(new Set(named.map(({ name }) => name)).size).toBe(SCIM_ROUTES.length)
})

test.each(named)(
  '$name refuses strangers, tokens of /v1 and revoked ones in the same bytes, before the body is read',
  async ({ route, path }) => {
    const body = ['POST', 'PUT', 'PATCH'].includes(route.method) ? { x: 'x'.repeat(5_000_000) } : undefined
    const gone = await Provider.add(server, newId())
    await server.post(`/v1/scim/providers/${gone.name}/revoke`)
    const tokens = [null, `rekey_scim_${'A'.repeat(43)}`, server.token, gone.token]
    const answers = await Promise.all(tokens.map((token) => server.send(route.method, path, { token, body })))
    const basic = await server.send(route.method, path, { token: null, body, headers: { authorization: 'Basic YTpi' } })
    for (const answer of [...answers, basic]) {
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      expect(answer.headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
      expect(answer.text).toBe(answers[0]?.text)
    }
  },
)

test.each(ROUTES.filter(({ action }) => action !== null).map((route) => ({ name: `${route.method} ${route.path}`, route })))(
  '$name knows no token of SCIM',
  async ({ route }) => {
    const path = route.path.replace(':id', newId()).replaceAll(/:\w+/g, 'x')
    expect((await server.send(route.method, path, { token: idp.token })).status).toBe(401)
  },
)

test('a rotated token overlaps with the old one, then ends it; revoking ends all', async () => {
  const provider = await Provider.add(server, 'rotating')
  const use = async (token: string) => (await server.send('GET', '/scim/v2/Users', { token })).status
  const rotate = async (overlapSeconds?: number) => (await server.post('/v1/scim/providers/rotating/rotate-token', { overlapSeconds })).body
  const second = await rotate()
  expect(second.oldTokenEndsAt).not.toBeNull()
  expect([await use(provider.token), await use(second.token)]).toEqual([200, 200])
  const third = await rotate(0)
  expect([await use(provider.token), await use(second.token), await use(third.token)]).toEqual([401, 401, 200])
  expect((await server.post('/v1/scim/providers/rotating/revoke')).body).toEqual({ provider: 'rotating', revoked: 1 })
  expect(await use(third.token)).toBe(401)
  expect(await use((await rotate()).token)).toBe(200)
  const listed = (await server.get('/v1/scim/providers')).body.items.find(({ name }: { name: string }) => name === 'rotating')
  expect(listed).toMatchObject({ tokens: 1, offboardAfterSeconds: 604_800, tenancy: 'default' })
  expect(listed.lastUsedAt).not.toBeNull()
})

test('tokens are stored as hashes only, and stand in no log line or event', async () => {
  const [all] = await server.db.store.query<{ text: string }>(
    "select (select string_agg(t::text, ' ') from scim_token t) || (select string_agg(e::text, ' ') from evidence_event e) as text",
  )
  const secret = idp.token.replace('rekey_scim_', '')
  expect(all?.text).not.toContain(secret)
  expect(all?.text).not.toContain(Buffer.from(idp.token).toString('hex'))
  expect(JSON.stringify(server.lines)).not.toContain(secret)
  expect(Buffer.from(secret, 'base64url')).toHaveLength(32)
})

test.each([{ name: 'idp' }])('a provider of a taken name is refused', async (body) => {
  expect((await server.post('/v1/scim/providers', body)).body.code).toBe('conflict')
})

test.each([
  { name: '' },
  { name: ' x' },
  { name: 'a\u202eb' },
  { name: 'x'.repeat(61) },
  { name: 'x', offboardAfterSeconds: -1 },
  { name: 'x', offboardAfterSeconds: 1e9 },
])('the provider %j is refused', async (body) => expect((await server.post('/v1/scim/providers', body)).status).toBe(400))

test('an unknown provider is not found, in the same words whatever it is called', async () => {
  for (const verb of ['revoke', 'rotate-token']) {
    const ask = async (name: string) => (await server.post(`/v1/scim/providers/${name}/${verb}`)).text.replaceAll(name, '*')
    expect(await ask('nobody')).toBe(await ask('no-one'))
  }
})

test('what is not there, what is not taken and what is not done', async () => {
  const unknown = await idp.get('/nothing')
  expect([unknown.status, unknown.body.status]).toEqual([404, '404'])
  expect(unknown.body.schemas).toEqual(['urn:ietf:params:scim:api:messages:2.0:Error'])
  const wrong = await idp.send('DELETE', '/Users')
  expect([wrong.status, wrong.headers.get('allow')?.split(', ').sort()]).toEqual([405, ['GET', 'POST']])
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'POST']) expect((await idp.send(method, '/Me')).status).toBe(501)
  expect((await idp.send('POST', '/Bulk', { Operations: [] })).status).toBe(501)
  const config = (await idp.get('/ServiceProviderConfig')).body
  expect(config).toMatchObject({
    bulk: { supported: false },
    sort: { supported: false },
    patch: { supported: true },
    etag: { supported: true },
  })
  expect((await idp.get('/Schemas?filter=x')).status).toBe(403)
  expect((await idp.get('/Schemas/URN:ietf:params:scim:schemas:core:2.0:user')).body.name).toBe('User')
  for (const path of ['/Users/x', '/Users/%00', '/Groups/%f0%28', `/Users/${'x'.repeat(1_900)}`]) {
    expect((await idp.get(path)).status, path).toBeGreaterThanOrEqual(400)
    expect((await idp.get(path)).status, path).toBeLessThan(500)
  }
})

test('a stranger who uses up the limit of an address takes nothing from a provider behind it', async () => {
  const limited = await TestServer.start({ requestsPerMinute: 20 })
  const provider = await Provider.add(limited, 'idp')
  expect((await provider.get('/Users')).status).toBe(200)
  const stranger = () => limited.send('GET', '/scim/v2/Users', { token: `rekey_scim_${'A'.repeat(43)}` })
  const statuses = []
  for (let n = 0; n < 30; n++) statuses.push((await stranger()).status)
  expect(statuses.at(-1)).toBe(429)
  expect((await provider.get('/Users')).status).toBe(200)
  // Nor does the provider ask without end.
  const own = []
  for (let n = 0; n < 30; n++) own.push((await provider.get('/Users')).status)
  expect(own.at(-1)).toBe(429)
  await limited.stop()
})

/** No list tells in its cursor what the asker may not see. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ROUTES } from './routes/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: 1_000_000 })
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

async function made(path: string, body: object) {
  const answer = await server.post(path, body)
  expect(answer.status, answer.text).toBeLessThan(300)
  return answer.body
}

/** Every list without parameters in its path. */
const LISTS = ROUTES.filter(({ method, path, query }) => {
  const shape = (query as { shape?: object } | undefined)?.shape ?? {}
  return method === 'GET' && !path.includes(':') && 'after' in shape && 'limit' in shape
}).map(({ path }) => path)

test('a page of one row names neither the row that is hidden nor anything of it, and the next page comes', async () => {
  const owner = `person:${(await made('/v1/identities', { name: 'm-owner', kind: 'human' })).id}`
  const hidden = await made('/v1/identities', { name: 'aa-secret', kind: 'workload', owner, purpose: 'x', environment: 'prod' })
  await made('/v1/identities', { name: 'zz-shown', kind: 'workload', owner, purpose: 'x', environment: 'test' })
  const limits = { environments: ['test'], scope: ['identity:read'], reason: 'tests' }
  const { token } = await made('/v1/tokens', { name: 'half', roles: ['directory-admin'], ...limits })
  const seen: string[] = []
  for (let after = ''; ; ) {
    const page = await server.send('GET', `/v1/identities?limit=1${after}`, { token })
    expect(page.status, page.text).toBe(200)
    expect(page.text).not.toContain('aa-secret')
    expect(page.text).not.toContain(hidden.id)
    expect(Buffer.from(page.body.next ?? '', 'base64url').toString('latin1')).not.toContain('secret')
    seen.push(...page.body.items.map(({ name }: { name: string }) => name))
    if (page.body.next === null) break
    after = `&after=${page.body.next}`
  }
  expect(seen).toContain('zz-shown')
})

test.each(LISTS)('%s takes no cursor that it has not given, and gives none that can be read', async (path) => {
  for (const after of ['aa', '7', 'handovers:', '01890000-0000-7000-8000-000000000000', '2026-01-01T00:00:00.000Z,x']) {
    const answer = await server.get(`${path}?after=${encodeURIComponent(after)}`)
    expect([answer.status, answer.body.code], answer.text).toEqual([400, 'bad_input'])
  }
  const { next = null } = (await server.get(`${path}?limit=1`)).body
  if (next === null) return
  expect(next).toMatch(/^[\w-]{120,}$/)
  expect((await server.get(`${path}?limit=1&after=${next}`)).status).toBe(200)
})

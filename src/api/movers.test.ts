/** A mover's changed entitlements list the credentials to narrow or rotate. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { fsckIdentities } from '../identity/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(3)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const entitle = async (name: string, ...accounts: string[]) => {
  const entitlements = accounts.map((account) => ({ system: 'db', account, role: 'writer' }))
  expect((await server.post(`/v1/identities/${name}/move`, { entitlements })).status).toBe(200)
}
const movers = async (query = '') => (await server.get(`/v1/movers${query}`)).body
const told = async () =>
  (await movers()).items.map((it: { name: string; account: string; credentials: object[] }) => [it.name, it.account, it.credentials])

test('own credentials are to be narrowed, those of others rotated, and those with a new value since are off the list', async () => {
  expect((await server.post('/v1/identities', { name: 'ada', kind: 'human' })).status).toBe(201)
  await entitle('ada', 'app_0', 'app_1', 'elsewhere')
  await entitle('app', 'app_0')
  expect(await movers()).toEqual({ items: [], next: null })
  await entitle('ada', 'app_1')
  await entitle('app')
  const expected = [
    ['ada', 'app_0', [{ name: 'app-0', advice: 'rotate' }]],
    ['app', 'app_0', [{ name: 'app-0', advice: 'narrow' }]],
  ]
  expect(await told()).toEqual(expected)
  // As a rotation would leave it.
  const later = (at: string) =>
    server.db.store.query(`update version set installed_at = ${at} where credential_id = (select id from credential where name = 'app-0')`)
  await later("now() - interval '1 day'")
  expect(await told()).toEqual(expected)
  await later('clock_timestamp()')
  expect(await told()).toEqual(expected.slice(1))
  expect(await fsckIdentities(server.db.store)).toEqual([])
})

test('pages hold everything once, also where most of it has nothing to do', async () => {
  await entitle('ada', ...Array.from({ length: 9 }, (_, n) => `other_${n}`), 'app_1', 'app_2')
  await entitle('ada')
  const seen: string[] = []
  for (let after = ''; ; ) {
    const page = await movers(`?limit=3${after}`)
    expect(page.items.length).toBeLessThanOrEqual(3)
    seen.push(...page.items.map(({ id }: { id: string }) => id))
    if (page.next === null) break
    after = `&after=${page.next}`
  }
  expect(seen).toEqual((await movers('?limit=500')).items.map(({ id }: { id: string }) => id))
  expect(seen.length).toBeGreaterThan(2)
})

test('one is settled once, with a reason, which is on record', async () => {
  const [{ id, account, system }] = (await movers()).items
  expect((await server.post(`/v1/movers/${id}/settle`, {})).status).toBe(400)
  expect((await server.post(`/v1/movers/${id}/settle`, { reason: 'role taken away' })).body).toEqual({ id })
  expect((await server.post(`/v1/movers/${id}/settle`, { reason: 'role taken away' })).status).toBe(404)
  expect((await movers()).items.map((it: { id: string }) => it.id)).not.toContain(id)
  const events = await server.db.store.query<{ body: string }>("select body from evidence_event where body like '%mover.settled%'")
  expect(events.map(({ body }) => JSON.parse(body))).toMatchObject([
    { log: 'credential', subject: `${account}@${system}`, data: { role: 'writer', reason: 'role taken away' } },
  ])
})

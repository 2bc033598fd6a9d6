/** Which identities are of one person, over HTTP: what two directories say of one human. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Provider } from './routes/scim/testing.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

test('one address from two directories is found, counts as one, and is settled by somebody’s word', async () => {
  const [corp, subsidiary] = [await Provider.add(server, 'corp'), await Provider.add(server, 'subsidiary')]
  await corp.user('ada', { emails: [{ value: 'Ada@Example.org' }] })
  await subsidiary.user('a.lovelace', { emails: [{ value: 'ada@example.org', primary: true }] })
  const path = '/v1/identities/ada/same-person'
  const of = async () => (await server.get(path)).body.items.map((it: Record<string, unknown>) => [it.name, it.same, it.because])
  expect(await of()).toEqual([['a.lovelace', true, 'address']])
  const found = async () => (await server.get('/v1/findings?kind=likely_double')).body.items
  expect(await found()).toMatchObject([{ subject: 'ada', control: 'NHI1', detail: expect.stringContaining('a.lovelace') }])
  const said = await server.post(path, { other: 'a.lovelace', same: false, reason: 'mother and daughter' })
  expect([said.status, said.body]).toEqual([200, { changed: true }])
  expect(await of()).toEqual([['a.lovelace', false, 'said']])
  expect(await found()).toEqual([])
  const events = (await server.get('/v1/identities/ada/events')).body.items
  expect(events.map(({ type }: { type: string }) => type)).toContain('identity.other_person')
})

test('nothing is said of what is not there, in the words of any identity that is not', async () => {
  const body = { other: 'ada', same: true, reason: 'x' }
  const missing = await server.post('/v1/identities/nobody/same-person', body)
  const other = await server.post('/v1/identities/ada/same-person', { ...body, other: 'nobody' })
  expect([missing.status, other.status]).toEqual([404, 404])
  expect(missing.body.detail).toBe(other.body.detail)
  expect((await server.post('/v1/identities/ada/same-person', { ...body, same: 'yes' })).status).toBe(400)
})

import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(2)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const CANARY = 'canary-root-8812'
const base64 = (text: string) => Buffer.from(text).toString('base64')

test('a root secret is not answered, not logged and not kept when its system does not answer', async () => {
  const key = newId()
  const ask = (value: string) =>
    server.send('POST', '/v1/systems/db/root', { body: { secret: base64(value) }, headers: { 'idempotency-key': key } })
  const first = await ask(CANARY)
  expect([first.status, first.body.code]).toEqual([502, 'target_unreachable'])
  // It changed nothing, so the key is free again.
  expect((await ask(CANARY)).status).toBe(502)
  const stored = await server.db.store.query(
    `select (select jsonb_agg(to_jsonb(t)) from idempotency t) as keys, (select jsonb_agg(to_jsonb(t)) from version t) as versions,
            (select jsonb_agg(body) from evidence_event) as events`,
  )
  for (const text of [JSON.stringify(stored), JSON.stringify(server.lines), first.text]) {
    expect(text).not.toContain(CANARY)
    expect(text).not.toContain(base64(CANARY))
    expect(text).not.toContain(Buffer.from(CANARY).toString('hex'))
  }
  expect((await server.post('/v1/systems/nowhere/root', { secret: base64('x') })).body.code).toBe('not_found')
  for (const secret of ['', '%%%', 'a'.repeat(9000)]) expect((await server.post('/v1/systems/db/root', { secret })).status).toBe(400)
  const [broken] = [await server.post('/v1/systems/db/root', { secret: base64('a\nb') })]
  expect(broken?.body.code).toBe('bad_input')
})

test('an Idempotency-Key with another secret is another request, and what is kept of the first allows no guess', async () => {
  const keys = [newId(), newId()]
  const add = (name: string, value: string, key = '') =>
    server.send('POST', '/v1/notify/channels', {
      body: { name, secret: base64(value), webhook: { url: 'https://hooks.example.com/', link: 'https://rekey.example.com/', ca: null } },
      headers: { 'idempotency-key': key },
    })
  const first = await add('one', `${CANARY}-16-bytes`, keys[0])
  expect([first.status, (await add('one', `${CANARY}-16-bytes`, keys[0])).body]).toEqual([201, first.body])
  const other = await add('one', `${CANARY}-16-others`, keys[0])
  expect([other.status, other.body.code]).toEqual([422, 'idempotency_reused'])
  // Under another key even the same secret leaves another mark: who reads the table does not see that they are one.
  expect((await add('two', `${CANARY}-16-bytes`, keys[1])).status).toBe(201)
  const kept = await server.db.store.query<{ request: string }>('select request from idempotency where key = any($1)', [keys])
  const marks = kept.map(({ request }) => /"fingerprint":"([A-Za-z0-9_-]{22})"/.exec(request)?.[1])
  expect(new Set(marks).size).toBe(2)
  const bare = (algorithm: string) => createHash(algorithm).update(`${CANARY}-16-bytes`).digest()
  for (const form of ['hex', 'base64', 'base64url'] as const) {
    for (const mark of [Buffer.from(`${CANARY}-16-bytes`), bare('sha256'), bare('sha512'), bare('md5')])
      expect(JSON.stringify(kept)).not.toContain(mark.toString(form).slice(0, 20))
  }
})

test('giving up a system says what is in the way, and is done once for one key', async () => {
  const path = '/v1/systems/db/decommission'
  const refused = await server.post(path, { reason: 'gone' })
  expect([refused.status, refused.body.code, refused.body.faults.length]).toEqual([409, 'conflict', 2])
  expect((await server.post(path, { reason: '' })).status).toBe(400)
  expect((await server.post('/v1/systems/nowhere/decommission', { reason: 'gone' })).body.code).toBe('not_found')
  const headers = { 'idempotency-key': newId() }
  const body = { reason: 'gone', unprovable: true }
  const done = await server.send('POST', path, { body, headers })
  expect([done.status, done.body]).toEqual([200, { notProvable: 2, rotations: 0, root: 'unreachable' }])
  expect((await server.send('POST', path, { body, headers })).body).toEqual(done.body)
  expect((await server.post(path, body)).body.code).toBe('wrong_state')
  // It is listed, so it must not be said that it does not exist.
  const root = await server.post('/v1/systems/db/rotate-root')
  expect(root.body).toMatchObject({ code: 'wrong_state', detail: 'db was given up: nothing on it is rotated any more.' })
  const status = await server.get('/v1/status')
  expect(status.body.counts).toMatchObject({ decommissioned: 1, notProvable: 3 })
  expect((await server.get('/v1/systems')).body.items[0].decommissionedAt).toMatch(/Z$/)
})

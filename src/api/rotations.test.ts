import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(12)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const rowsOf = (batch: string) =>
  server.db.store.query<{ id: string; state: string }>('select id, state from rotation where batch_id = $1', [batch])
const countRows = async () => (await server.db.store.query('select id from rotation')).length

describe('starting', () => {
  test('"accepted" means that the rows exist', async () => {
    const answer = await server.post('/v1/rotations', { names: ['app-0', 'app-1', 'app-0'], reason: 'leak' })
    expect(answer.status).toBe(202)
    expect(answer.body.rotations.map(({ credential }: { credential: string }) => credential)).toEqual(['app-0', 'app-1'])
    const rows = await rowsOf(answer.body.batch)
    expect(rows.map(({ id }) => id).sort()).toEqual(answer.body.rotations.map(({ rotation }: { rotation: string }) => rotation).sort())
    const seen = await server.get(`/v1/rotations/${answer.body.rotations[0].rotation}`)
    expect(seen.body).toMatchObject({ credential: 'app-0', state: 'planned', startReason: 'leak' })
  })

  test('the status says since when a step is due that no worker takes, and not while one is at work', async () => {
    const since = async () => (await server.get('/v1/status')).body.unclaimedSince
    const set = (what: string) => server.db.store.query(`update rotation set ${what}`)
    await set('due_at = now()')
    expect(await since()).toBeNull()
    await set("due_at = now() - interval '11 seconds'")
    expect(Date.now() - Date.parse(await since())).toBeGreaterThanOrEqual(11_000)
    await set("lease_until = case when id = (select min(id::text)::uuid from rotation) then now() + interval '1 minute' end")
    expect(await since()).toBeNull()
    await set('lease_until = null, due_at = now()')
  })

  test('what is under way already is a conflict, also for a system of which nothing is left to start', async () => {
    const before = await countRows()
    expect((await server.post('/v1/rotations', { names: ['app-0'] })).status).toBe(409)
    const root = await server.post('/v1/systems/db/rotate-root')
    expect(root.status).toBe(202)
    expect(root.body.rotations).toHaveLength(1)
    expect((await server.post('/v1/systems/db/rotate-root')).status).toBe(409)
    expect(await countRows()).toBe(before + 1)
  })

  test('of a system, what is under way or blocked is left out and named, also when nothing else is left', async () => {
    const [app0 = { id: '' }] = await server.db.store.query<{ id: string }>(
      "select r.id from rotation r join credential c on c.id = r.credential_id where c.name = 'app-0' and r.ended_at is null",
    )
    await server.db.store.query(
      `update rotation set state = 'blocked', blocked_from = 'planned', blocked_at = now(),
              problem = '{"reason":"no account"}' where id = $1`,
      [app0.id],
    )
    const blocked = { credential: 'app-0', rotation: app0.id, state: 'blocked', reason: 'no account' }
    const some = await server.post('/v1/rotations', { system: 'db' })
    expect(some.status).toBe(202)
    expect(some.body.rotations).toHaveLength(10)
    expect(some.body.skipped).toEqual([blocked, expect.objectContaining({ credential: 'app-1', state: 'planned', reason: null })])
    const none = await server.post('/v1/rotations', { all: true })
    expect(none.status).toBe(202)
    expect(none.body.rotations).toEqual([])
    expect(none.body.skipped).toHaveLength(12)
    expect(none.body.skipped[0]).toEqual(blocked)
    for (const { rotation } of some.body.rotations) expect((await server.post(`/v1/rotations/${rotation}/undo`)).status).toBe(202)
  })

  test('an unknown name starts nothing at all', async () => {
    const before = await countRows()
    expect((await server.post('/v1/rotations', { names: ['app-2', 'nobody'] })).status).toBe(404)
    expect((await server.post('/v1/rotations', { system: 'nowhere' })).status).toBe(404)
    expect((await server.post('/v1/systems/nowhere/rotate-root')).body).toMatchObject({ status: 404, detail: 'No such system: nowhere' })
    const root = await server.post('/v1/rotations', { names: ['root@db'] })
    expect(root.body).toMatchObject({ status: 404, hint: 'For a root credential: rekey system rotate-root db' })
    expect(await countRows()).toBe(before)
  })
})

describe('Idempotency-Key', () => {
  test('two equal requests that arrive together start once and get the same answer; a later one too', async () => {
    const key = { 'idempotency-key': newId() }
    const ask = () => server.post('/v1/rotations', { names: ['app-2'] }, key)
    const before = await countRows()
    const answers = [...(await Promise.all([ask(), ask(), ask(), ask()])), await ask()]
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202])
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(await countRows()).toBe(before + 1)
  })

  test('the key with another request is refused', async () => {
    const key = { 'idempotency-key': newId() }
    expect((await server.post('/v1/rotations', { names: ['app-3'] }, key)).status).toBe(202)
    for (const body of [{ names: ['app-4'] }, { names: ['app-3'], urgent: true }]) {
      const other = await server.post('/v1/rotations', body, key)
      expect(other.status).toBe(422)
      expect(other.body.code).toBe('idempotency_reused')
    }
    expect((await server.post('/v1/systems/db/rotate-root', {}, key)).status).toBe(422)
  })

  test('a request that was refused may be sent again under its key', async () => {
    const key = { 'idempotency-key': newId() }
    expect((await server.post('/v1/rotations', { names: ['app-3'] }, key)).status).toBe(409)
    const { body } = await server.get('/v1/rotations?credential=app-3')
    expect((await server.post(`/v1/rotations/${body.items[0].rotation}/undo`)).body.state).toBe('undone')
    expect((await server.post('/v1/rotations', { names: ['app-3'] }, key)).status).toBe(202)
  })

  test('a key of a wrong shape is refused', async () => {
    expect((await server.post('/v1/rotations', { names: ['app-4'] }, { 'idempotency-key': 'x'.repeat(201) })).status).toBe(400)
  })
})

describe('transitions', () => {
  test('undo, retry and resolve answer with the rotation as it is then, or say why not', async () => {
    const { body } = await server.post('/v1/rotations', { names: ['app-5'] })
    const path = `/v1/rotations/${body.rotations[0].rotation}`
    const retried = await server.post(`${path}/retry`)
    expect(retried.status).toBe(409)
    expect(retried.body.code).toBe('wrong_state')
    expect((await server.post(`${path}/resolve`, { kind: 'irrevocable', by: 'a person', reason: 'no way' })).status).toBe(409)
    expect((await server.post(`${path}/resolve`, { kind: 'irrevocable', by: '', reason: 'x' })).status).toBe(400)
    const undone = await server.send('POST', `${path}/undo`)
    expect(undone.status).toBe(202)
    expect(undone.body).toMatchObject({ rotation: body.rotations[0].rotation, state: 'undone' })
    expect((await server.post(`${path}/undo`)).status).toBe(409)
  })
})

describe('what people did to it', () => {
  const show = async (path: string) => (await server.get(path)).body.interventions
  const block = (path: string, from: string) =>
    server.db.store.query(
      `update rotation set state = 'blocked', blocked_from = $2, blocked_at = now(), due_at = null,
              problem = '{"reason":"no way"}' where id = $1`,
      [path.split('/').at(-1), from],
    )

  test('is shown with actor, name, reason and time: undo, retry, override, irrevocable; of other rotations nothing', async () => {
    const { body } = await server.post('/v1/rotations', { names: ['app-11'] })
    const path = `/v1/rotations/${body.rotations[0].rotation}`
    expect(await show(path)).toEqual([])
    const { startedBy, orderedBy } = (await server.get(path)).body
    expect(startedBy).toMatch(/^token:[0-9a-f-]{36}$/)
    expect(orderedBy).toMatch(new RegExp(`^\\S.* \\(${startedBy}\\)$`))
    await block(path, 'distributed')
    expect((await server.post(`${path}/retry`)).status).toBe(202)
    const override = { kind: 'override-activation', by: 'ada', reason: 'saw "rotation.undone" herself' }
    expect((await server.post(`${path}/resolve`, override)).status).toBe(202)
    await block(path, 'retired')
    expect((await server.post(`${path}/resolve`, { kind: 'irrevocable', by: 'eve', reason: 'vendor is gone' })).status).toBe(202)
    const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    const actor = expect.stringMatching(/^token:[0-9a-f-]{36}$/)
    const done = await show(path)
    expect(done).toEqual([
      { what: 'retry', at, actor, by: null, reason: null },
      { what: 'override-activation', at, actor, by: 'ada', reason: override.reason },
      { what: 'irrevocable', at, actor, by: 'eve', reason: 'vendor is gone' },
    ])
    expect([...done].map((one) => one.at).sort()).toEqual(done.map((one: { at: string }) => one.at))
  })

  test('an undo before anything was touched, and one that a worker has to do', async () => {
    await server.db.store.query("update version set state = 'current' where state = 'irrevocable'")
    const started = (await server.post('/v1/rotations', { names: ['app-11'] })).body.rotations[0].rotation
    await server.post(`/v1/rotations/${started}/undo`, { reason: 'wrong "day"' })
    const again = (await server.post('/v1/rotations', { names: ['app-11'] })).body.rotations[0].rotation
    await server.db.store.query("update rotation set state = 'staged' where id = $1", [again])
    expect((await server.post(`/v1/rotations/${again}/undo`)).status).toBe(202)
    expect(await show(`/v1/rotations/${started}`)).toMatchObject([{ what: 'undo', by: null, reason: 'wrong "day"' }])
    expect(await show(`/v1/rotations/${again}`)).toMatchObject([{ what: 'undo', by: null, reason: 'requested' }])
  })
})

describe('lists', () => {
  test('pages follow one another without a gap and end', async () => {
    await server.post('/v1/rotations', { names: ['app-6', 'app-7', 'app-8', 'app-9', 'app-10'] })
    const all = (await server.get('/v1/rotations?limit=500')).body
    expect(all.next).toBeNull()
    const seen: string[] = []
    for (let after = ''; ; ) {
      const { body } = await server.get(`/v1/rotations?limit=2${after}`)
      seen.push(...body.items.map(({ rotation }: { rotation: string }) => rotation))
      if (body.next === null) break
      after = `&after=${body.next}`
    }
    expect(seen).toEqual(all.items.map(({ rotation }: { rotation: string }) => rotation))
  })

  test.each(['/v1/credentials', '/v1/identities', '/v1/systems', '/v1/keks'])('%s in pages of one is the same as whole', async (path) => {
    const all = (await server.get(`${path}?limit=500`)).body
    expect(all.items.length).toBeGreaterThan(0)
    const seen: unknown[] = []
    for (let after = ''; ; ) {
      const { body } = await server.get(`${path}?limit=1${after}`)
      expect(body.items).toHaveLength(1)
      seen.push(...body.items)
      if (body.next === null) break
      after = `&after=${encodeURIComponent(body.next)}`
    }
    expect(seen).toEqual(all.items)
  })

  test('filters', async () => {
    const { items } = (await server.get('/v1/rotations?state=undone')).body
    expect(new Set(items.map(({ state }: { state: string }) => state))).toEqual(new Set(['undone']))
    expect((await server.get('/v1/rotations?state=gone')).status).toBe(400)
    expect((await server.get('/v1/credentials?system=nowhere')).body.items).toEqual([])
    expect((await server.get('/v1/credentials?system=db&limit=500')).body.items).toHaveLength(13)
  })
})

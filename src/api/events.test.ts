import { get } from 'node:http'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { makeCtx, newId, sleep } from '../kernel/index.ts'
import { batchEvents, eventText } from './events.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(30)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

interface Event {
  readonly event: string
  /** Each kind of event has its own. */
  readonly data: ReturnType<typeof JSON.parse>
}

/** Reads a stream until its end, or until `enough` says so and the client hangs up. */
async function read(
  at: TestServer,
  batch: string,
  enough: (events: readonly Event[]) => boolean | Promise<boolean> = () => false,
): Promise<Event[]> {
  const hangUp = new AbortController()
  const answer = await fetch(`${at.url}/v1/batches/${batch}/events`, {
    headers: { authorization: `Bearer ${at.token}` },
    signal: hangUp.signal,
  })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  const events: Event[] = []
  let text = ''
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk).toString()
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? []
      if (event !== undefined && data !== undefined) events.push({ event, data: JSON.parse(data) })
    }
    if (await enough(events)) {
      hangUp.abort()
      break
    }
  }
  return events
}

async function start(names: readonly string[]): Promise<{ batch: string; ids: string[] }> {
  const { status, body } = await server.post('/v1/rotations', { names })
  expect(status).toBe(202)
  return { batch: body.batch, ids: body.rotations.map(({ rotation }: { rotation: string }) => rotation) }
}

test('progress comes first, each ended rotation once, then done and the end', async () => {
  const { batch, ids } = await start(['app-0', 'app-1', 'app-2'])
  const undone: string[] = []
  const events = await read(server, batch, async (seen) => {
    // Each end is brought about only after the one before was told, so that the stream is seen to follow.
    const told = seen.filter(({ event }) => event === 'rotation').length
    if (seen.length > 0 && told === undone.length && undone.length < ids.length) {
      const id = ids[undone.length] ?? ''
      undone.push(id)
      await server.post(`/v1/rotations/${id}/undo`)
    }
    return false
  })
  expect(events[0]).toEqual({ event: 'progress', data: { counts: [{ system: 'db', state: 'planned', count: 3 }] } })
  expect(events.filter(({ event }) => event === 'rotation').map(({ data }) => [data.rotation, data.state])).toEqual(
    ids.map((id) => [id, 'undone']),
  )
  expect(events.at(-1)).toEqual({ event: 'done', data: {} })
  expect(events.filter(({ event }) => event === 'done')).toHaveLength(1)
})

test('a batch that has ended is told whole to whoever comes late', async () => {
  const { batch, ids } = await start(['app-3'])
  await server.post(`/v1/rotations/${ids[0]}/undo`)
  expect((await read(server, batch)).map(({ event }) => event)).toEqual(['progress', 'rotation', 'done'])
})

test('a blocked rotation counts as one that nobody waits for', async () => {
  const { batch, ids } = await start(['app-4'])
  await server.db.store.query("update rotation set state = 'blocked', blocked_from = 'planned', blocked_at = now() where id = $1", [ids[0]])
  const events = await read(server, batch)
  expect(events.map(({ event, data }) => [event, data.state])).toEqual([
    ['progress', undefined],
    ['rotation', 'blocked'],
    ['done', undefined],
  ])
})

test('a batch that is not there is a problem, not an empty stream', async () => {
  expect((await server.get(`/v1/batches/${newId()}/events`)).status).toBe(404)
})

/** Timers of this process, in which the server runs too. */
const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

test('clients that hang up leave nothing: no timer, no question to the database', async () => {
  const { batch } = await start(['app-5', 'app-6'])
  const openMany = () => Promise.all(Array.from({ length: 20 }, () => openStream(batch)))
  // The first round opens what stays open on purpose: the database connections of the pool, each with its idle timer.
  for (const stream of await openMany()) stream.destroy()
  await sleep(1_000)
  const before = timers()
  const open = await openMany()
  await expect.poll(timers).toBeGreaterThanOrEqual(before + 10)
  for (const stream of open) stream.destroy()
  // The polling itself has a timer or two; a leak would be of twenty.
  await expect.poll(timers, { timeout: 5_000 }).toBeLessThanOrEqual(before + 3)
  const asked = await questions()
  await sleep(700)
  // Asking takes two itself; one leaked stream would ask twice in this time, twenty of them forty times.
  expect((await questions()) - asked).toBeLessThanOrEqual(3)
})

/** How many transactions the database has run; settles a moment after the last one. */
async function questions(): Promise<number> {
  await server.db.store.query('select pg_stat_force_next_flush()')
  const [row] = await server.db.store.query<{ count: number }>(
    'select sum(calls)::int as count from (select xact_commit as calls from pg_stat_database where datname = current_database()) s',
  )
  return row?.count ?? 0
}

/** A stream whose first bytes have come. */
function openStream(batch: string): Promise<{ destroy(): void }> {
  return new Promise((resolve, reject) => {
    const sent = get(`${server.url}/v1/batches/${batch}/events`, { headers: { authorization: `Bearer ${server.token}` } }, (answer) => {
      answer.once('data', () => resolve({ destroy: () => sent.destroy() }))
      answer.on('error', () => undefined)
    })
    sent.on('error', reject)
  })
}

test('closing the server ends open streams at once', async () => {
  const other = await TestServer.start()
  await other.declare(1)
  const { body } = await other.post('/v1/rotations', { all: true })
  const reading = read(other, body.batch)
  await sleep(300)
  const stopped = await Promise.race([other.stop().then(() => 'stopped'), sleep(5_000).then(() => 'hangs')])
  expect(stopped).toBe('stopped')
  expect((await reading.catch(() => [])).filter(({ event }) => event === 'done')).toEqual([])
})

test('silence is broken by a heartbeat every 15 seconds', async () => {
  const { batch } = await start(['app-7'])
  const stop = new AbortController()
  let nowMs = 0
  // Five seconds pass between any two looks at it.
  const monotonicMs = () => {
    nowMs += 5_000
    return nowMs
  }
  const clock = { now: () => new Date(0), monotonicMs }
  const texts: string[] = []
  for await (const text of batchEvents(makeCtx('test', 'test', { clock, signal: stop.signal }), server.db.store, batch)) {
    texts.push(text)
    if (texts.length === 5) stop.abort()
  }
  expect(texts.slice(1, 2)[0]).toMatch(/^event: progress/)
  expect(texts.slice(2)).toEqual([': \n\n', ': \n\n', ': \n\n'])
})

test('an event is one line of data, whatever is in it', () => {
  expect(eventText('x', { text: 'a\nb\r\n\u2028event: y' }).split('\n')).toHaveLength(4)
})

import { get, type IncomingMessage } from 'node:http'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { makeCtx, newId, silentLog, sleep } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { BatchWatch, eventText } from './events.ts'
import { range, TestServer } from './testing.ts'

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
  // One timer looks for all of them.
  expect(timers()).toBeLessThanOrEqual(before + 3)
  for (const stream of open) stream.destroy()
  // The polling itself has a timer or two; a leak would be of twenty.
  await expect.poll(timers, { timeout: 5_000 }).toBeLessThanOrEqual(before + 3)
  // A backend tells its last counts up to some seconds late: it counts once nobody asked within 700 ms. Asking takes two itself; one
  // leaked stream would ask twice in each such span, for ever.
  await expect.poll(askedWithin700, { timeout: 20_000 }).toBeLessThanOrEqual(3)
})

async function askedWithin700(): Promise<number> {
  const before = await questions()
  await sleep(700)
  return (await questions()) - before
}

/** How many transactions the database has told of. */
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
  const ctx = makeCtx('test', 'test', { clock, signal: stop.signal })
  const watch = new BatchWatch(server.db.store, ctx)
  for await (const text of watch.follow(ctx, 'token', batch)) {
    texts.push(text)
    if (texts.length === 5) stop.abort()
  }
  await watch.close()
  expect(texts.slice(1, 2)[0]).toMatch(/^event: progress/)
  expect(texts.slice(2)).toEqual([': \n\n', ': \n\n', ': \n\n'])
})

/** The test's store, with every statement counted and every listener. */
function counted(): { store: Pick<Store, 'query' | 'listen'>; asked: string[]; listening: () => number } {
  const { store } = server.db
  const asked: string[] = []
  let listening = 0
  return {
    asked,
    listening: () => listening,
    store: {
      query: (text, params) => {
        asked.push(text)
        return store.query(text, params)
      },
      listen: async (channel, onNotice) => {
        listening++
        const stop = await store.listen(channel, onNotice)
        return async () => {
          listening--
          await stop()
        }
      },
    },
  }
}

test('fifty streams, of two batches, ask the database as often as one', async () => {
  const { store, asked, listening } = counted()
  const ctx = makeCtx('test', 'test')
  const watch = new BatchWatch(store, ctx)
  const [one, other] = [await start(['app-8', 'app-9']), await start(['app-10'])]
  const read = async (batch: string) => {
    const texts: string[] = []
    for await (const text of watch.follow(ctx, 'token', batch)) texts.push(text)
    return texts
  }
  const reading = range(50).map((n) => read(n % 2 ? one.batch : other.batch))
  await sleep(1_100)
  // Five looks of 250 ms, and for the first what has ended.
  expect(asked.length).toBeLessThanOrEqual(8)
  expect(asked.length).toBeGreaterThanOrEqual(3)
  expect(listening()).toBe(1)
  for (const id of [...one.ids, ...other.ids]) await server.post(`/v1/rotations/${id}/undo`)
  const all = await Promise.all(reading)
  for (const [n, texts] of all.entries()) {
    const ended = texts
      .filter((text) => text.startsWith('event: rotation'))
      .map((text) => JSON.parse(text.split('data: ')[1] ?? '').rotation)
    expect(ended.sort()).toEqual([...(n % 2 ? one.ids : other.ids)].sort())
    expect(texts.at(-1)).toBe('event: done\ndata: {}\n\n')
  }
  // Nobody follows any more: nothing is asked, nothing listens.
  await sleep(300)
  const before = asked.length
  await sleep(600)
  expect([asked.length - before, listening()]).toEqual([0, 0])
  await watch.close()
})

test('whoever comes later is told all, and those who were there nothing twice', async () => {
  const { store } = counted()
  const ctx = makeCtx('test', 'test')
  const watch = new BatchWatch(store, ctx)
  const { batch, ids } = await start(['app-11', 'app-12'])
  const follow = (texts: string[]) =>
    (async () => {
      for await (const text of watch.follow(ctx, 'token', batch)) texts.push(text)
    })()
  const [early, late]: [string[], string[]] = [[], []]
  const first = follow(early)
  await server.post(`/v1/rotations/${ids[0]}/undo`)
  await expect.poll(() => early.filter((text) => text.startsWith('event: rotation')).length).toBe(1)
  const second = follow(late)
  await expect.poll(() => late.filter((text) => text.startsWith('event: rotation')).length).toBe(1)
  await server.post(`/v1/rotations/${ids[1]}/undo`)
  await Promise.all([first, second])
  for (const texts of [early, late]) expect(texts.filter((text) => text.startsWith('event: rotation'))).toHaveLength(2)
  await watch.close()
})

test('a notice wakes it: what a human did is told before the next look', async () => {
  const { store } = counted()
  const frozen = makeCtx('test', 'test')
  const watch = new BatchWatch(store, frozen)
  const { batch, ids } = await start(['app-13', 'app-14', 'app-15', 'app-16'])
  const told: string[] = []
  const following = (async () => {
    for await (const text of watch.follow(frozen, 'token', batch)) told.push(text)
  })()
  await expect.poll(() => told.length).toBe(2)
  await sleep(500)
  const delays: number[] = []
  for (const id of ids) {
    await server.post(`/v1/rotations/${id}/retry`).catch(() => undefined)
    const before = told.length
    await server.post(`/v1/rotations/${id}/undo`)
    const since = performance.now()
    while (told.length === before) await sleep(2)
    delays.push(performance.now() - since)
    // Half a look's time apart from the one before, so that no look falls on it by chance.
    await sleep(125)
  }
  await following
  await watch.close()
  expect(Math.min(...delays)).toBeLessThan(100)
})

test('one token follows a hundred streams at most, and a place that is left is free', async () => {
  const { batch } = await start(['app-17'])
  const streams = await Promise.all(range(100).map(() => openStream(batch)))
  const refused = await server.get(`/v1/batches/${batch}/events`)
  expect([refused.status, refused.body.code]).toEqual([429, 'too_many_requests'])
  streams[0]?.destroy()
  await expect
    .poll(async () => {
      const stream = await Promise.race([openStream(batch).then((it) => it), sleep(1_000).then(() => null)])
      stream?.destroy()
      return stream !== null
    })
    .toBe(true)
  for (const stream of streams) stream.destroy()
})

test('a reader that takes nothing for a minute is cut off, and what waits for it is not kept', async () => {
  let aheadMs = 0
  const clock = { now: () => new Date(), monotonicMs: () => performance.now() + aheadMs }
  const lines: string[] = []
  const log = { ...silentLog, warn: (_fields: Record<string, unknown>, message: string) => void lines.push(message) }
  const slow = await TestServer.start({ ctx: makeCtx('test', 'test', { clock, log }) })
  await slow.declare(1)
  const { batch } = (await slow.post('/v1/rotations', { all: true })).body
  // More than the buffers of two sockets hold: 34 MB of rotations that have ended.
  await slow.db.store.query(
    `insert into rotation (id, batch_id, credential_id, system_id, state, reason, started_by, old_version_id, old_account, new_account,
                           grace_seconds, ended_at)
     select gen_random_uuid(), batch_id, credential_id, system_id, 'undone', repeat('x', 1000), started_by, old_version_id, old_account,
            new_account, grace_seconds, now() from rotation, generate_series(1, 20000)`,
  )
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${slow.url}/v1/batches/${batch}/events`, { headers: { authorization: `Bearer ${slow.token}` } }, resolve).on('error', reject)
  })
  answer.pause()
  // Nothing is cut off before its time.
  await sleep(2_500)
  expect(lines).toEqual([])
  // A minute passes between any two looks at the log: a reader that took something in between would not be cut off.
  const isCut = () => {
    aheadMs += 61_000
    return lines
  }
  await expect.poll(isCut, { timeout: 20_000, interval: 500 }).toContain('a reader of events was too slow and is cut off')
  let bytes = 0
  const end = new Promise<string>((resolve) => {
    answer.on('error', () => resolve('cut off')).on('end', () => resolve('whole'))
  })
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  answer.resume()
  expect(await end).toBe('cut off')
  expect(bytes).toBeLessThan(20_000_000)
  await slow.stop()
}, 60_000)

test('an event is one line of data, whatever is in it', () => {
  expect(eventText('x', { text: 'a\nb\r\n\u2028event: y' }).split('\n')).toHaveLength(4)
})

test('a stream ends with the token that opened it: nothing is told after, and a quiet one ends by itself', async () => {
  const make = async (name: string) =>
    (await server.post('/v1/tokens', { name, roles: ['operator'], reason: 'tests' })).body.token as string
  const revoke = (name: string) => server.post(`/v1/tokens/${name}/revoke`, { reason: 'leaked' })
  const { batch, ids } = await start(['app-20', 'app-21'])
  const open = (token: string) => {
    const texts: string[] = []
    const ended = read({ url: server.url, token } as TestServer, batch, (events) => {
      texts.splice(0, texts.length, ...events.map(({ event }) => event))
      return false
    })
    return { texts, ended }
  }
  const [told, quiet, good] = [await make('told'), await make('quiet'), await make('good')]
  const [first, other, third] = [open(told), open(quiet), open(good)]
  const until = async (done: () => boolean) => {
    for (const end = Date.now() + 20_000; !done() && Date.now() < end; ) await sleep(20)
    expect(done()).toBe(true)
  }
  await until(() => [first, other, third].every(({ texts }) => texts.length === 1))
  await revoke('told')
  // Past the second that a proof may be old when something is told.
  await sleep(1_100)
  expect((await server.post(`/v1/rotations/${ids[0]}/undo`)).status).toBe(202)
  await until(() => third.texts.includes('rotation'))
  await first.ended
  expect(first.texts).toEqual(['progress'])
  await revoke('quiet')
  await other.ended
  expect(other.texts).not.toContain('done')
  expect((await server.post(`/v1/rotations/${ids[1]}/undo`)).status).toBe(202)
  await third.ended
  expect(third.texts.at(-1)).toBe('done')
})

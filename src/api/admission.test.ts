import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep } from '../kernel/index.ts'
import { ADMITTED_MS, Admission } from './admission.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Held, TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())

/** An admission whose time and answers are the test's. */
function admitted() {
  const at = { ms: 0, asked: 0, now: 'ada' as string | Error }
  const again = async () => {
    at.asked++
    if (at.now instanceof Error) throw at.now
    return at.now
  }
  const clock = { now: () => new Date(0), monotonicMs: () => at.ms }
  const admission = new Admission({ clock, who: 'ada', again, alike: (one, other) => one === other })
  return { at, admission, store: admission.storeFor(server.db.store, 'ada') }
}

const act = (store: TestServer['db']['store']) => store.inTx((tx) => tx.query<{ n: number }>('select 1 as n'))

test('an admission counts for a moment, and is asked again once that is over', async () => {
  const { at, admission } = admitted()
  at.now = 'eve'
  at.ms = ADMITTED_MS
  expect([await admission.now(), at.asked]).toEqual(['ada', 0])
  at.ms = ADMITTED_MS + 1
  expect([await admission.now(), await admission.now(), at.asked]).toEqual(['eve', 'eve', 1])
  at.ms += ADMITTED_MS + 1
  at.now = new Error('gone')
  await expect(admission.now()).rejects.toThrow('gone')
})

test('a first transaction waits for nobody within that moment, and begins for nobody who may no more or something else', async () => {
  const quick = admitted()
  await act(quick.store)
  expect(quick.at.asked).toBe(0)
  for (const [now, thrown] of [
    [new Error('gone'), 'gone'],
    ['eve', 'has changed'],
  ] as const) {
    const { at, store } = admitted()
    at.ms = ADMITTED_MS + 1
    at.now = now
    await expect(act(store)).rejects.toThrow(thrown)
    // Nothing is done yet, so the next one does not begin either.
    await expect(act(store)).rejects.toThrow(thrown)
    at.now = 'ada'
    at.ms += ADMITTED_MS + 1
    expect(await act(store)).toEqual([{ n: 1 }])
  }
})

test('what has begun is finished, and a transaction that failed has begun nothing', async () => {
  const { at, store } = admitted()
  await expect(
    store.inTx(async () => {
      throw new Error('lost')
    }),
  ).rejects.toThrow('lost')
  at.now = new Error('gone')
  at.ms = ADMITTED_MS + 1
  await expect(act(store)).rejects.toThrow('gone')
  at.now = 'ada'
  await act(store)
  at.now = new Error('gone')
  at.ms += ADMITTED_MS + 1
  expect(await act(store)).toEqual([{ n: 1 }])
})

test('a small body that does not come is waited for 20 seconds, a large one longer, and the server goes on', async () => {
  const hr = await Provider.add(server, 'hr')
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const ask = (path: string, headers: Record<string, string>) => server.held('POST', path, headers, { name: 'late' })
  const small = [
    await ask('/v1/teams', bearer(server.token)),
    await ask('/v1/login/passkey/begin', {}),
    await ask('/scim/v2/Users', bearer(hr.token)),
  ]
  const large = [await ask('/v1/fleet/diff', bearer(server.token)), await ask('/scim/v2/Groups', bearer(hr.token))]
  // With room for a machine that is busy: a body that is there by then is no late one.
  await sleep(24_000)
  const statuses = async (held: readonly (() => Promise<Held>)[]) => {
    const answers = []
    for (const rest of held) answers.push((await rest()).status)
    return answers
  }
  expect(await statuses(small)).toEqual([408, 408, 408])
  // Wrong, but whole.
  expect(await statuses(large)).toEqual([400, 400])
  expect(await server.db.store.query("select id from team where name = 'late'")).toEqual([])
  expect(server.undeclared()).toEqual([])
}, 60_000)

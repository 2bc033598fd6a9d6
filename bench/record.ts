/**
 * 100,000 identities listed and filtered, a page of 100: every documented filter alone and every two of them that go together, with values
 * that very many hold, few, one, and none; a third of the pages are the first one, the others begin at a random place and near the end.
 * Middle and 99th percentile of the function alone and over HTTP from a real `rekey serve`, one request at a time: by the clock, and on the
 * processor (Rekey and its database), which others on the machine do not disturb. The floor is the same page by primary key alone, with
 * `pg` and no filter.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IdentityFilter, listIdentities } from '../src/identity/index.ts'
import { FILTERS, fill, PAIRS } from '../src/identity/record.kit.ts'
import { Cursors, fingerprintKey, installationSecret, type Keyring } from '../src/keys/index.ts'
import type { Store } from '../src/store/index.ts'
import { childrenOf, connectionsOf, onProcessorMs } from './processor.ts'
import { median, ms, report } from './report.ts'
import { offline, type Served, serve, stop } from './served.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
/** Calls of each filter, and of each two filters. */
const CALLS = Number(process.argv[3] ?? 150)
const CALLS_OF_TWO = Number(process.argv[4] ?? 9)
const PAGE = 100
/** What a benchmark that says "under 50 ms" is held to; a filter whose middle is above a half of it is named. */
const NAMED_MS = 25

/** In turn: the first page, one from a random place in the alphabet of the names, and one near its end. */
const PLACES = [() => undefined, () => Math.random().toString(36).slice(2, 6), () => 'z']
const placeOf = (call: number) => PLACES[call % PLACES.length]?.()

/** One call: by the clock, and on the processor. */
interface Time {
  readonly wall: number
  readonly processor: number
}

function quantile(times: readonly Time[], by: keyof Time, share: number): number {
  const sorted = times.flatMap((time) => (Number.isNaN(time[by]) ? [] : [time[by]])).sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
}

type Ask = (filter: IdentityFilter, after: string | undefined) => Promise<unknown>

/** Each place is warmed up once: a plan is made at a statement's first use on a connection. */
async function measure(pids: () => readonly number[], calls: number, call: (place: string | undefined) => Promise<unknown>) {
  for (let n = 0; n < PLACES.length; n++) await call(placeOf(n))
  const times: Time[] = []
  for (let n = 0; n < calls; n++) {
    const after = placeOf(n)
    const watched = pids()
    const [before, start] = [onProcessorMs(watched), performance.now()]
    await call(after)
    times.push({ wall: performance.now() - start, processor: onProcessorMs(watched) - before })
  }
  return times
}

type Times = Record<string, Time[]>

async function measureAll(pids: () => readonly number[], ask: Ask): Promise<{ readonly alone: Times; readonly pairs: Times }> {
  const [alone, pairs]: [Times, Times] = [{}, {}]
  for (const [name, filter] of Object.entries({ 'no filter': {}, ...FILTERS })) {
    alone[name] = await measure(pids, CALLS, (after) => ask(filter, after))
  }
  for (const [name, filter] of Object.entries(PAIRS)) pairs[name] = await measure(pids, CALLS_OF_TWO, (after) => ask(filter, after))
  return { alone, pairs }
}

async function inProcess(store: Store) {
  const [own] = await store.query<{ pid: number }>('select pg_backend_pid() as pid')
  const pids = () => [process.pid, own?.pid ?? 0]
  const floor = await measure(pids, CALLS, (after) =>
    store.query('select id, name, kind, owner, purpose, environment from identity where name > $1 order by name limit 100', [after ?? '']),
  )
  const ask: Ask = (filter, after) => listIdentities(store, filter, { limit: PAGE, ...(after !== undefined && { after }) })
  return { floor, ...(await measureAll(pids, ask)) }
}

/** A client cannot begin at a place of its choice; the installation's own key makes the cursors that its pages would have given. */
async function cursorsOf(store: Store, keyring: Keyring): Promise<Cursors> {
  return new Cursors(fingerprintKey(await installationSecret(store, keyring, 'fingerprints')))
}

async function overHttp(data: string, cursors: Cursors) {
  const served = await serve(data)
  try {
    return await measureHttp(data, served, cursors)
  } finally {
    await stop(served)
  }
}

async function measureHttp(data: string, served: Served, cursors: Cursors) {
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const ask: Ask = async ({ label, ...filter }, place) => {
    const given = new URLSearchParams({ ...filter, ...(label && { label: `${label.key}=${label.value}` }), limit: String(PAGE) })
    if (place !== undefined) given.set('after', cursors.seal('GET /v1/identities', place))
    const url = `${served.url}/v1/identities?${given}`
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`${answer.status} ${text}`)
  }
  // So that its connections to the database are there, and its code is compiled.
  for (let n = 0; n < 200; n++) await ask({}, placeOf(n))
  const server = served.child.pid ?? 0
  const pids = () => [server, ...connectionsOf(childrenOf(server)[0] ?? 0)]
  return measureAll(pids, ask)
}

const figure = (times: readonly Time[], share: number) =>
  `${ms(quantile(times, 'wall', share))} (${ms(quantile(times, 'processor', share))})`
const both = (times: readonly Time[]) => `${figure(times, 0.5)}, p99 ${figure(times, 0.99)}`
const middle = (times: readonly Time[]) => median(times.flatMap(({ processor }) => (Number.isNaN(processor) ? [] : [processor])))

/** The two filters that cost most on the processor. */
function dearest(pairs: Times): [string, string][] {
  const sorted = Object.entries(pairs).sort(([, a], [, b]) => middle(b) - middle(a))
  return sorted.filter(([, times], at) => at < 5 || middle(times) > NAMED_MS).map(([name, times]) => [`  ${name}`, both(times)])
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-bench-'))
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  await stop(await serve(data))
  await offline(data, (store) => fill(store, COUNT))
  let direct: Awaited<ReturnType<typeof inProcess>> | undefined
  let cursors: Cursors | undefined
  await offline(data, async (store, keyring) => {
    direct = await inProcess(store)
    cursors = await cursorsOf(store, keyring)
  })
  if (cursors === undefined) throw new Error('unreachable')
  const http = await overHttp(data, cursors)
  const figures: Record<string, string> = { 'floor: 100 rows by name, columns only': both(direct?.floor ?? []) }
  for (const [name, times] of Object.entries(http.alone)) {
    figures[name] = both(times)
    figures[`${name}, function alone`] = both(direct?.alone[name] ?? [])
  }
  figures['all filters alone'] = both(Object.values(http.alone).flat())
  figures['all filters alone, function alone'] = both(Object.values(direct?.alone ?? {}).flat())
  const count = Object.keys(http.pairs).length
  figures[`${count} times two filters`] = both(Object.values(http.pairs).flat())
  figures[`${count} times two filters, function alone`] = both(Object.values(direct?.pairs ?? {}).flat())
  figures['of these cost most:'] = ''
  Object.assign(figures, Object.fromEntries(dearest(http.pairs)))
  const load = loadavg().map((one) => one.toFixed(1))
  const what = `a page of ${PAGE} out of ${COUNT.toLocaleString('en')} identities over HTTP: middle, p99, by the clock (on the processor)`
  report(`record: ${what}; load ${load.join(', ')}`, figures)
  rmSync(folder, { recursive: true, force: true })
}

await main()
process.exit(0)

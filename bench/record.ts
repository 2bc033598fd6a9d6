/**
 * 100,000 identities listed and filtered, a page of 100 at random places: 99th percentile of the function alone and over HTTP from a
 * real `rekey serve`, one request at a time: by the clock, and on the processor (Rekey and its database), which others on the machine
 * do not disturb. The floor is the same page by primary key alone, with `pg` and no filter.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IdentityFilter, listIdentities } from '../src/identity/index.ts'
import { newId } from '../src/kernel/index.ts'
import type { Store } from '../src/store/index.ts'
import { childrenOf, connectionsOf, onProcessorMs } from './processor.ts'
import { ms, report } from './report.ts'
import { offline, serve, stop } from './served.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
const TEAMS = 500
const CALLS = Number(process.argv[3] ?? 300)
const PAGE = 100

const KINDS = ['workload', 'workload', 'workload', 'machine', 'agent', 'human', 'human'] as const
const ENVIRONMENTS = ['prod', 'prod', 'staging', 'test', 'dev']

/** The record as a company of some size has it: skewed kinds, few suspended, teams nested three deep, two labels each. */
async function fill(store: Store): Promise<void> {
  const teams = Array.from({ length: TEAMS }, (_, n) => ({
    id: newId(),
    name: `team-${n}`,
    parent: n === 0 ? null : Math.floor((n - 1) / 8),
  }))
  await store.query(
    `insert into team (id, name, source) select t.id, t.name, 'scim:bench' from jsonb_to_recordset($1::jsonb) as t(id uuid, name text)`,
    [JSON.stringify(teams)],
  )
  const nested = teams.flatMap(({ id, parent }) => (parent === null ? [] : [{ parent: teams[parent]?.id, child: id }]))
  await store.query(
    `insert into team_nesting (parent_id, child_id)
     select n.parent, n.child from jsonb_to_recordset($1::jsonb) as n(parent uuid, child uuid)`,
    [JSON.stringify(nested)],
  )
  for (let at = 0; at < COUNT; at += 5_000) {
    const rows = Array.from({ length: Math.min(5_000, COUNT - at) }, (_, i) => identity(at + i, teams))
    await insert(store, JSON.stringify(rows))
  }
}

function identity(n: number, teams: readonly { readonly id: string }[]) {
  const kind = KINDS[n % KINDS.length] ?? 'workload'
  // Names spread over the alphabet, in no order of making.
  const name = `${((n * 2_654_435_761) % 2 ** 32).toString(36)}-${kind}`
  return {
    id: newId(),
    name,
    kind,
    environment: ENVIRONMENTS[n % ENVIRONMENTS.length],
    status: n % 500 === 0 ? 'offboarded' : n % 97 === 0 ? 'suspended' : 'active',
    source: kind === 'human' ? 'scim:bench' : 'declared',
    team: teams[(n * 7) % teams.length]?.id,
    site: `site-${n % 40}`,
    tier: n % 1000 === 0 ? 'critical' : 'plain',
  }
}

async function insert(store: Store, json: string): Promise<void> {
  const as =
    'jsonb_to_recordset($1::jsonb) as i(id uuid, name text, kind text, environment text, status text, source text, team uuid, ' +
    'site text, tier text)'
  await store.inTx(async (tx) => {
    await tx.query(
      `insert into identity (id, name, kind, owner, purpose, environment, status, source, owner_team_id)
       select id, name, kind, 'team', 'bench', environment, status, source, team from ${as}`,
      [json],
    )
    await tx.query(
      `insert into identity_label (identity_id, identity_name, key, value)
       select id, name, l.key, l.value from ${as} cross join lateral (values ('site', site), ('tier', tier)) as l(key, value)`,
      [json],
    )
    await tx.query(`insert into team_member (team_id, identity_id, identity_name) select team, id, name from ${as} where kind = 'human'`, [
      json,
    ])
  })
}

const FILTERS: Record<string, IdentityFilter> = {
  'no filter': {},
  'kind human (2 of 7)': { kind: 'human' },
  'status suspended (1 in 97)': { status: 'suspended' },
  'environment dev (1 in 5)': { environment: 'dev' },
  source: { source: 'scim:bench' },
  'owner, one team': { owner: 'team-77' },
  'team of 56 people': { team: 'team-77' },
  'team of everybody, 500 nested': { team: 'team-0' },
  'label of 1 in 40': { label: { key: 'site', value: 'site-7' } },
  'label of 1 in 1,000': { label: { key: 'tier', value: 'critical' } },
  'prefix of two letters': { prefix: '1a' },
  'agent, suspended, dev': { kind: 'agent', status: 'suspended', environment: 'dev' },
  'human, offboarded': { kind: 'human', status: 'offboarded' },
  'nothing matches: two columns that exclude': { kind: 'human', source: 'declared' },
  'label and owner and kind': { label: { key: 'tier', value: 'critical' }, owner: 'team-0', kind: 'human' },
  'everybody of a team who is suspended': { team: 'team-0', status: 'suspended' },
  'nothing matches: a team of people, workloads': { team: 'team-0', kind: 'workload' },
  'nothing matches: a label of nearly all, absent tenancy': { label: { key: 'tier', value: 'plain' }, tenancy: 'x' },
}

/** A random place in the alphabet of the names; half of the pages are first ones. */
const place = () => (Math.random() < 0.5 ? undefined : Math.random().toString(36).slice(2, 6))

function p99(times: readonly Time[], by: keyof Time): number {
  const sorted = times.flatMap((time) => (Number.isNaN(time[by]) ? [] : [time[by]])).sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
}

/** One call: by the clock, and on the processor. */
interface Time {
  readonly wall: number
  readonly processor: number
}

async function measure(pidsNow: () => readonly number[], call: () => Promise<unknown>): Promise<Time[]> {
  for (let i = 0; i < 20; i++) await call()
  const times: Time[] = []
  for (let i = 0; i < CALLS; i++) {
    const pids = pidsNow()
    const [before, start] = [onProcessorMs(pids), performance.now()]
    await call()
    times.push({ wall: performance.now() - start, processor: onProcessorMs(pids) - before })
  }
  return times
}

async function inProcess(data: string): Promise<Record<string, Time[]>> {
  const figures: Record<string, Time[]> = {}
  await offline(data, async (store) => {
    await fill(store)
    const [own] = await store.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pids = () => [process.pid, own?.pid ?? 0]
    figures['floor: 100 rows by name, columns only'] = await measure(pids, () =>
      store.query('select id, name, kind, owner, purpose, environment from identity where name > $1 order by name limit 100', [
        place() ?? '',
      ]),
    )
    for (const [name, filter] of Object.entries(FILTERS)) {
      figures[name] = await measure(pids, () => {
        const after = place()
        return listIdentities(store, filter, { limit: PAGE, ...(after && { after }) })
      })
    }
  })
  return figures
}

async function overHttp(data: string): Promise<Record<string, Time[]>> {
  const served = await serve(data)
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const figures: Record<string, Time[]> = {}
  const get = async (url: string) => {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
    await answer.text()
  }
  // So that its connections to the database are there.
  for (let i = 0; i < 20; i++) await get(`${served.url}/v1/identities?limit=1`)
  const server = served.child.pid ?? 0
  const pids = () => [server, ...connectionsOf(childrenOf(server)[0] ?? 0)]
  for (const [name, { label, ...filter }] of Object.entries(FILTERS)) {
    const query = new URLSearchParams({ ...filter, ...(label && { label: `${label.key}=${label.value}` }), limit: String(PAGE) })
    figures[name] = await measure(pids, async () => {
      const after = place()
      await get(`${served.url}/v1/identities?${query}${after === undefined ? '' : `&after=${after}`}`)
    })
  }
  await stop(served)
  return figures
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-bench-'))
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  await stop(await serve(data))
  const direct = await inProcess(data)
  const http = await overHttp(data)
  const both = (times: readonly Time[]) => `${ms(p99(times, 'wall'))} (${ms(p99(times, 'processor'))})`
  const figures: Record<string, string> = {}
  for (const [name, times] of Object.entries(direct)) {
    const over = http[name]
    figures[name] = `${both(times)}${over === undefined ? '' : `, over HTTP ${both(over)}`}`
  }
  figures['all together'] = `${both(Object.values(direct).flat())}, over HTTP ${both(Object.values(http).flat())}`
  const what = `99th percentile of a page of ${PAGE} out of ${COUNT.toLocaleString('en')} identities, by the clock (on the processor)`
  report(`record: ${what}`, figures)
  rmSync(folder, { recursive: true, force: true })
}

await main()
process.exit(0)

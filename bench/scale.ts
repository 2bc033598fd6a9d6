/**
 * A real `rekey serve` as a child: start to ready on an existing data folder, resident memory idle and with a large inventory, and what
 * a rotation costs at 1,000, 10,000 and 100,000 credentials in the inventory.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId, Secret, sleep } from '../src/kernel/index.ts'
import type { Keyring } from '../src/keys/index.ts'
import { scramSha256Verifier, seal } from '../src/seal/index.ts'
import type { Store } from '../src/store/index.ts'
import { type LabPostgres, startPostgres } from '../test/lab/postgres.ts'
import { addSpent, childrenOf, processorTime } from './processor.ts'
import { median, ms, report, timed } from './report.ts'
import { offline, type Served, serve, stop } from './served.ts'

const SIZES = process.argv[2] ? process.argv.slice(2).map(Number) : [1_000, 10_000, 100_000]
const SAMPLE = 200
const ROUNDS = 5
const START = 'start-value-of-the-benchmark'

function residentMiB({ child }: Served): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
}

/** Puts credentials straight into the inventory, all sealed for real; only the first `SAMPLE` exist on the target and are rotated. */
async function fill(store: Store, keyring: Keyring, target: LabPostgres, from: number, to: number): Promise<void> {
  const [system] = await store.query<{ id: string }>("select id from system where name = 'bench'")
  const id = system?.id ?? newId()
  if (!system) {
    await store.query(
      `insert into system (id, name, connector, host, port, database, tls, root_account, concurrent)
       values ($1, 'bench', 'postgres', $2, $3, 'postgres', 'off', 'postgres', 8)`,
      [id, target.host, target.port],
    )
    await insert(store, keyring, id, [{ name: 'root@bench', account: 'postgres', root: true, secret: target.superuser.secret }])
  }
  const secret = Secret.fromText(START)
  for (let at = from; at < to; at += 2_000) {
    const names = Array.from({ length: Math.min(2_000, to - at) }, (_, i) => `bench_${at + i}`)
    await insert(
      store,
      keyring,
      id,
      names.map((name) => ({ name, account: name, root: false, secret })),
    )
  }
}

async function insert(
  store: Store,
  keyring: Keyring,
  system: string,
  rows: { name: string; account: string; root: boolean; secret: Secret }[],
): Promise<void> {
  const hex = (bytes: Uint8Array) => `\\x${Buffer.from(bytes).toString('hex')}`
  const made = rows.map(({ name, account, root, secret }) => {
    const [id, version, identity] = [newId(), newId(), newId()]
    const key = keyring.newDataKey(keyring.activeId, `credential ${id} data key`)
    const sealed = seal(key.key, secret, `credential ${id} version ${version}`)
    return { id, version, identity, name, account, root, kek: key.kekId, wrapped: hex(key.wrapped), sealed: hex(sealed) }
  })
  const json = JSON.stringify(made)
  const as =
    'jsonb_to_recordset($1::jsonb) as i(id uuid, version uuid, identity uuid, name text, account text, ' +
    'root boolean, kek uuid, wrapped bytea, sealed bytea)'
  await store.inTx(async (tx) => {
    await tx.query(
      `insert into identity (id, name, name_key, kind, owner, purpose, environment)
       select identity, 'id of ' || name, lower('id of ' || name), 'workload', 'team', 'bench', 'bench' from ${as} where not root`,
      [json],
    )
    await tx.query(
      `insert into credential (id, name, system_id, identity_id, is_root, strategy, accounts, kek_id, wrapped_key)
       select id, name, $2, case when root then null else identity end, root, 'in-place', array[account], kek, wrapped from ${as}`,
      [json, system],
    )
    await tx.query(
      `insert into version (id, credential_id, number, account, state, sealed)
       select version, id, 1, account, 'current', sealed from ${as}`,
      [json],
    )
  })
}

async function rotate(served: Served, data: string, names: readonly string[]): Promise<void> {
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const started = await fetch(`${served.url}/v1/rotations`, { method: 'POST', headers, body: JSON.stringify({ names, reason: 'bench' }) })
  const { batch } = (await started.json()) as { batch: string }
  const events = await fetch(`${served.url}/v1/batches/${batch}/events`, { headers })
  const text = await events.text()
  const dead = text.match(/"state":"proven_dead"/g)?.length ?? 0
  if (dead < names.length) throw new Error(`only ${dead} of ${names.length} are proven dead`)
}

/** Wall time and processor time of one rotation, after a first round in which everything is new. */
async function rotationCost(served: Served, data: string, names: readonly string[]): Promise<string> {
  await rotate(served, data, names)
  const servers = { server: served.child.pid ?? 0, database: childrenOf(served.child.pid ?? 0)[0] ?? 0 }
  const wall: number[] = []
  const spent: Record<string, number> = {}
  for (let round = 0; round < ROUNDS; round++) {
    const before = processorTime(servers)
    wall.push(await timed(() => rotate(served, data, names)))
    addSpent(spent, before, processorTime(servers))
  }
  const each = (name: string) => ((spent[name] ?? 0) / ROUNDS / SAMPLE).toFixed(2)
  return `${ms(median(wall) / SAMPLE)} (processor: server ${each('server')}, its database ${each('database')})`
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-bench-'))
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  const target = await startPostgres()
  const verifier = await scramSha256Verifier(Secret.fromText(START))
  for (let i = 0; i < SAMPLE; i++) await target.query(`create role bench_${i} login password '${verifier}'`)
  const figures: Record<string, string> = {}
  const first = await serve(data)
  figures['start to ready, new data folder'] = ms(first.readyMs)
  await stop(first)
  const idle = await serve(data)
  figures['start to ready, existing data folder'] = ms(idle.readyMs)
  await sleep(5_000)
  figures['resident memory idle, beside the database'] = `${residentMiB(idle).toFixed(0)} MiB`
  await stop(idle)
  let filled = 0
  const names = Array.from({ length: SAMPLE }, (_, i) => `bench_${i}`)
  for (const size of SIZES) {
    await offline(data, (store, keyring) => fill(store, keyring, target, filled, size))
    filled = size
    const served = await serve(data)
    await sleep(2_000)
    figures[`resident memory with ${size.toLocaleString('en')} credentials`] = `${residentMiB(served).toFixed(0)} MiB`
    figures[`rotation at ${size.toLocaleString('en')} credentials, 8 at a time, each`] = await rotationCost(served, data, names)
    await stop(served)
  }
  report('scale', figures)
  await target.stop()
  rmSync(folder, { recursive: true, force: true })
}

await main()
process.exit(0)

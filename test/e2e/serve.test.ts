import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { sleep } from '../../src/kernel/index.ts'
import { serverFolder } from '../lab/copies.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { LAB_TLS } from '../lab/tls.ts'
import { endAll, type Launched, launch } from './kit.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname
const folder = mkdtempSync(join(serverFolder(), 'rekey-serve-'))
chmodSync(folder, 0o711)

let target: LabPostgres
let serial = 0
const running: ChildProcess[] = []

beforeAll(async () => {
  target = await startPostgres({ fsync: false, tls: LAB_TLS })
  writeFileSync(join(folder, 'ca.pem'), LAB_TLS.ca)
})
afterEach(() => endAll(running))
afterAll(async () => {
  await target.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts `rekey serve` and waits until it is ready or has ended. */
const serve = (env: Record<string, string>, args: string[] = []): Promise<Launched> => launch(running, ['serve', ...args], { env })

const data = () => join(folder, `data-${++serial}`)

/** An empty database of its own on the laboratory server, as a URL without options. */
async function database(): Promise<string> {
  const name = `rekey_${++serial}`
  await target.query(`create database ${name}`)
  const password = target.superuser.secret.revealText((text) => encodeURIComponent(text))
  return `postgres://${target.superuser.account}:${password}@127.0.0.1:${target.port}/${name}`
}

async function api(
  ran: Launched,
  dataFolder: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const token = readFileSync(join(dataFolder, 'admin.token'), 'utf8').trim()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const answer = await fetch(
    `${ran.url}${path}`,
    body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) },
  )
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> }
}

/** Every living process that works in a folder below this one. */
function processesIn(path: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      return /^\d+$/.test(pid) && !/\) Z /.test(stat) && readlinkSync(`/proc/${pid}/cwd`).startsWith(path)
    } catch {
      return false
    }
  }).length
}

test('the embedded database is stopped with the server, and the token and keys are readable by nobody else', async () => {
  const place = data()
  const ran = await serve({ REKEY_DATA: place })
  expect(ran.url).not.toBeNull()
  expect(processesIn(place)).toBeGreaterThan(0)
  expect(statSync(join(place, 'admin.token')).mode & 0o777).toBe(0o600)
  expect((await api(ran, place, '/v1/status')).status).toBe(200)
  ran.child.kill('SIGTERM')
  await once(ran.child, 'exit')
  expect(ran.child.exitCode).toBe(0)
  expect(processesIn(place)).toBe(0)
})

test('a first start says that it makes a database; a later one, and one for programs, say nothing', async () => {
  const place = data()
  const told = (ran: Launched) => ran.errors.split('\n').filter((line) => line.startsWith('rekey:') && !line.includes('still'))
  const first = await serve({ REKEY_DATA: place })
  expect(told(first)).toEqual([`rekey: making the database in ${place}, at the first start only (some seconds)`])
  first.child.kill('SIGTERM')
  await once(first.child, 'exit')
  expect(told(await serve({ REKEY_DATA: place }))).toEqual([])
  const json = await serve({ REKEY_DATA: data(), REKEY_LOG: 'silent' }, ['--json'])
  expect([json.errors, json.url === null]).toEqual(['', false])
})

test('a start that waits for another process says for what', async () => {
  const url = await database()
  const client = new pg.Client(url)
  await client.connect()
  // As a second process that brings the tables up to date.
  await client.query('select pg_advisory_lock(7395001)')
  const child = spawn(PROGRAM, ['serve'], {
    env: { PATH: process.env.PATH ?? '', REKEY_LISTEN: '127.0.0.1:0', REKEY_DATA: data(), DATABASE_URL: url },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  running.push(child)
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  await expect.poll(() => errors, { timeout: 30_000 }).toContain('rekey: still reaching the database and bringing its tables up to date')
  await client.end()
  child.kill('SIGTERM')
  await once(child, 'exit')
})

test('DATABASE_URL with TLS: a checked certificate works, an unchecked one is not used by accident', async () => {
  const url = await database()
  const place = data()
  const good = await serve({ REKEY_DATA: place, DATABASE_URL: `${url}?sslmode=verify-full&sslrootcert=${join(folder, 'ca.pem')}` })
  expect(good.url, good.errors).not.toBeNull()
  const [row] = await target.query<{ ssl: boolean }>(
    "select bool_and(s.ssl) as ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name like 'rekey%'",
  )
  expect(row?.ssl).toBe(true)
  expect(existsSync(join(place, 'postgres'))).toBe(false)
  const bad = await serve({ REKEY_DATA: data(), DATABASE_URL: `${url}?sslmode=verify-full` })
  expect(bad.url).toBeNull()
  expect(bad.child.exitCode).not.toBe(0)
  expect(bad.errors).not.toContain(decodeURIComponent(new URL(url).password))
})

test('a database that is newer than the program is refused, and nothing of it is changed', async () => {
  const [place, url] = [data(), await database()]
  const first = await serve({ REKEY_DATA: place, DATABASE_URL: url })
  expect(first.url, first.errors).not.toBeNull()
  first.child.kill('SIGTERM')
  await once(first.child, 'exit')
  const client = new pg.Client(url)
  await client.connect()
  await client.query("insert into schema_migration (number, name, md5) values (9999, 'later', 'x')")
  const newer = await serve({ REKEY_DATA: place, DATABASE_URL: url })
  expect([newer.url, newer.child.exitCode]).toEqual([null, 1])
  expect(newer.errors).toMatch(/schema 9999.*this program knows/)
  const { rows } = await client.query('select max(number) as newest from schema_migration')
  expect(rows).toEqual([{ newest: 9999 }])
  await client.end()
})

test('server and workers may be processes of their own; a killed worker’s rotations go on in another', async () => {
  const place = data()
  const env = { REKEY_DATA: place, DATABASE_URL: await database() }
  const server = await serve(env, ['--role', 'server'])
  const [doomed, other] = [await serve(env, ['--role', 'worker']), await serve(env, ['--role', 'worker'])]
  expect([doomed.url, other.url]).toEqual([null, null])
  const accounts = Array.from({ length: 20 }, (_, i) => `many_${i}`)
  for (const account of accounts) await target.query(`create role ${account} login password 'old-value'`)
  const fleet = [
    'version: 1',
    'systems:',
    '  - name: db',
    '    connector: postgres',
    `    address: { host: 127.0.0.1, port: ${target.port}, database: postgres, tls: verify-full, caFile: /ca.pem }`,
    `    root: { account: ${target.superuser.account}, secret: { file: root } }`,
    'identities: [{ name: app, kind: workload, owner: team, purpose: tests, environment: test }]',
    'credentials:',
    ...accounts.map(
      (name) => `  - { name: ${name}, identity: app, system: db, account: ${name}, strategy: in-place, current: { file: old } }`,
    ),
  ].join('\n')
  const { json: diff } = await api(server, place, '/v1/fleet/diff', { text: fleet, folder: '/' })
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const root = target.superuser.secret.revealText(base64)
  const secrets = { 'system:db': root, ...Object.fromEntries(accounts.map((name) => [`credential:${name}`, base64('old-value')])) }
  const applied = await api(server, place, '/v1/fleet/apply', {
    text: fleet,
    folder: '/',
    digest: diff.digest,
    prune: false,
    secrets,
    authorities: { '/ca.pem': LAB_TLS.ca },
  })
  expect(applied.status, JSON.stringify(applied.json)).toBe(200)
  const { json: started } = await api(server, place, '/v1/rotations', { all: true })
  doomed.child.kill('SIGKILL')
  const until = performance.now() + 40_000
  for (;;) {
    const { json } = await api(server, place, `/v1/rotations?batch=${started.batch}&state=proven_dead&limit=100`)
    if ((json.items as unknown[]).length === accounts.length) break
    if (performance.now() > until) throw new Error(`only ${(json.items as unknown[]).length} are proven dead`)
    await sleep(200)
  }
}, 90_000)

test('a passphrase instead of a key file: the right one starts, another one is refused with what to do', async () => {
  const place = data()
  const file = join(folder, 'passphrase')
  writeFileSync(file, 'correct horse battery staple\n', { mode: 0o600 })
  const first = await serve({ REKEY_DATA: place, REKEY_PASSPHRASE_FILE: file })
  expect(first.url, first.errors).not.toBeNull()
  expect(existsSync(join(place, 'kek'))).toBe(false)
  first.child.kill('SIGTERM')
  await once(first.child, 'exit')
  const again = await serve({ REKEY_DATA: place, REKEY_PASSPHRASE_FILE: file })
  expect(again.url, again.errors).not.toBeNull()
  again.child.kill('SIGTERM')
  await once(again.child, 'exit')
  writeFileSync(file, 'something else\n')
  const wrong = await serve({ REKEY_DATA: place, REKEY_PASSPHRASE_FILE: file })
  expect(wrong.url).toBeNull()
  expect(wrong.errors).toContain('REKEY_PASSPHRASE_FILE')
  expect(processesIn(place)).toBe(0)
})

test('every fault of the configuration is told at once', async () => {
  const ran = await serve({ REKEY_DATA: data(), REKEY_LISTEN: 'nowhere', REKEY_SHRED_AFTER: '-1', REKEY_LOG: 'loud' })
  expect(ran.url).toBeNull()
  for (const name of ['REKEY_LISTEN', 'REKEY_SHRED_AFTER', 'REKEY_LOG']) expect(ran.errors).toContain(name)
})

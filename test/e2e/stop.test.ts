/** Whatever ends `rekey serve`, no PostgreSQL stays behind: by signals at any moment, twice, with its output closed, in deep folders. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { sleep } from '../../src/kernel/index.ts'
import { serverFolder } from '../lab/copies.ts'
import { startPostgres } from '../lab/postgres.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname
const ORPHAN = new URL('../../src/store/embedded.child.ts', import.meta.url).pathname
/** Of src/store/migrate.ts. */
const MIGRATION_LOCK = 7_395_001
/** Of src/store/embedded.ts. */
const OWNER_LOCK = 7_395_002
const folder = mkdtempSync(join(serverFolder(), 'rekey-stop-'))
chmodSync(folder, 0o711)
const running: ChildProcess[] = []
let serial = 0

afterEach(async () => {
  for (const child of running.splice(0)) if (!hasEnded(child)) await ended(child, () => child.kill('SIGKILL'))
  for (const pid of processesIn(folder)) process.kill(pid, 'SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** Resolves with the exit status, or the signal's name, once the process is gone. */
async function ended(child: ChildProcess, end: () => unknown): Promise<number | string | null> {
  const gone = hasEnded(child) ? null : once(child, 'exit')
  end()
  await gone
  return child.exitCode ?? child.signalCode
}

/** Every living process that works in a folder below this one, as the processes of a database do. */
function processesIn(path: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')) && readlinkSync(`/proc/${pid}/cwd`).startsWith(path)
      } catch {
        return false
      }
    })
}

/** A fresh data folder. */
function data(): string {
  return join(folder, `data-${++serial}`)
}

function serve(place: string, env: Record<string, string> = {}): { child: ChildProcess; out: () => string } {
  const child = spawn(PROGRAM, ['serve'], {
    env: { PATH: process.env.PATH ?? '', REKEY_LISTEN: '127.0.0.1:0', REKEY_DATA: place, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
  }
  return { child, out: () => text }
}

async function ready(place: string, env: Record<string, string> = {}): Promise<{ child: ChildProcess; url: string; out: () => string }> {
  const { child, out } = serve(place, env)
  while (!/rekey: ready on \S+\n/.test(out())) {
    if (hasEnded(child)) throw new Error(out())
    await sleep(20)
  }
  return { child, out, url: /ready on (\S+)/.exec(out())?.[1] ?? '' }
}

const postmasterOf = (place: string) => Number(readFileSync(join(place, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])

test.each([
  ['SIGINT', 'SIGINT', 0],
  ['SIGTERM', 'SIGTERM', 30],
  ['SIGINT', 'SIGTERM', 200],
] as const)('%s and %s %i ms later are one signal that npm or a terminal passed on: it stops in order', async (first, second, ms) => {
  const place = data()
  const { child } = await ready(place)
  const status = await ended(child, async () => {
    child.kill(first)
    await sleep(ms)
    child.kill(second)
  })
  expect(status).toBe(0)
  expect(processesIn(place)).toEqual([])
})

test('a second signal after a while ends it at once, and the database all the same', async () => {
  const place = data()
  const { child } = await ready(place)
  const postmaster = postmasterOf(place)
  // A database that hangs makes the stop take long.
  process.kill(postmaster, 'SIGSTOP')
  child.kill('SIGTERM')
  await sleep(800)
  expect(hasEnded(child)).toBe(false)
  const startedMs = performance.now()
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(130)
  expect(performance.now() - startedMs).toBeLessThan(6_000)
  process.kill(postmaster, 'SIGCONT')
  await expect.poll(() => processesIn(place), { timeout: 10_000 }).toEqual([])
})

test('output that nobody reads ends it, and the database with it', async () => {
  const place = data()
  const { child } = serve(place)
  child.stdout?.destroy()
  expect(await ended(child, () => undefined)).toBe(141)
  await expect.poll(() => processesIn(place), { timeout: 10_000 }).toEqual([])
})

test.each([
  ['its folder is made', 'socket'],
  ['initdb works', 'postgres.new'],
  ['the cluster is made', 'postgres'],
  ['PostgreSQL starts', 'postgres/postmaster.pid'],
  ['the database answers', 'socket/.s.PGSQL.5432'],
  ['its keys are made', 'kek'],
  ['its token is written', 'admin.token'],
])(
  'SIGTERM when %s, in the first start, leaves nothing, and the next start works',
  async (_when, mark) => {
    const place = data()
    const { child, out } = serve(place)
    while (!existsSync(join(place, mark)) && !hasEnded(child)) await sleep(2)
    expect(await ended(child, () => child.kill('SIGTERM')), out()).toBe(0)
    expect(processesIn(place)).toEqual([])
    const again = await ready(place)
    expect(await ended(again.child, () => again.child.kill('SIGTERM'))).toBe(0)
    expect(processesIn(place)).toEqual([])
  },
  120_000,
)

test('SIGTERM while it waits to migrate: it goes, and takes the database of a killed process along', async () => {
  const place = data()
  const orphan = spawn(process.execPath, [ORPHAN, place, 'die'], { stdio: 'ignore' })
  await once(orphan, 'exit')
  const holder = new pg.Client({ host: join(place, 'socket'), user: 'rekey', database: 'rekey' })
  holder.on('error', () => undefined)
  await holder.connect()
  await holder.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
  const { child } = serve(place)
  const waiting = async () => (await holder.query("select 1 from pg_locks where locktype = 'advisory' and not granted")).rowCount
  await expect.poll(waiting, { timeout: 20_000 }).toBe(1)
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(0)
  expect(processesIn(place)).toEqual([])
  await holder.end().catch(() => undefined)
}, 60_000)

test('SIGTERM while it waits to migrate a database that is not its own: it goes, though the lock stays taken', async () => {
  const server = await startPostgres({ fsync: false })
  const { account, secret } = server.superuser
  const url = secret.revealText((password) => `postgres://${account}:${password}@${server.host}:${server.port}/postgres`)
  await server.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
  const { child } = serve(data(), { DATABASE_URL: url })
  const waiting = () => server.query("select 1 from pg_locks where locktype = 'advisory' and not granted")
  await expect.poll(waiting, { timeout: 20_000 }).toHaveLength(1)
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(0)
  await server.stop()
}, 60_000)

const isReady = (url: string) =>
  fetch(`${url}/readyz`).then(
    (answer) => answer.status,
    () => 0,
  )

test('a database that is killed is started again, and stopped in order at the end', async () => {
  const place = data()
  const { child, url } = await ready(place)
  const before = postmasterOf(place)
  process.kill(before, 'SIGKILL')
  await expect
    .poll(() => existsSync(join(place, 'postgres', 'postmaster.pid')) && postmasterOf(place) !== before, { timeout: 30_000 })
    .toBe(true)
  await expect.poll(() => isReady(url), { timeout: 20_000 }).toBe(200)
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(0)
  expect(processesIn(place)).toEqual([])
}, 90_000)

test('of two servers on one data folder, the second starts the database again when the first has stopped it', async () => {
  const place = data()
  const first = await ready(place)
  const second = await ready(place)
  expect(await ended(first.child, () => first.child.kill('SIGTERM'))).toBe(0)
  await expect.poll(() => isReady(second.url), { timeout: 30_000, interval: 500 }).toBe(200)
  expect(await ended(second.child, () => second.child.kill('SIGTERM'))).toBe(0)
  expect(processesIn(place)).toEqual([])
}, 90_000)

/** A folder whose path has so many bytes. */
function deepFolder(bytes: number): string {
  let path = join(folder, `deep-${++serial}`)
  while (bytes - path.length > 101) path = join(path, 'x'.repeat(Math.min(100, bytes - path.length - 2)))
  path = join(path, 'y'.repeat(bytes - path.length - 1))
  return path
}

test.each([90, 300, 990])('a data folder with a path of %i bytes is served and left clean', async (bytes) => {
  const place = deepFolder(bytes)
  mkdirSync(join(place, '..'), { recursive: true, mode: 0o711 })
  const { child } = await ready(place)
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(0)
  expect(processesIn(folder)).toEqual([])
})

test('a path that is too long for PostgreSQL is refused before anything is made', async () => {
  const place = deepFolder(1_010)
  mkdirSync(join(place, '..'), { recursive: true, mode: 0o711 })
  const { child, out } = serve(place)
  expect(await ended(child, () => undefined)).toBe(2)
  expect(out()).toContain('1010 bytes')
})

/** `rekey fsck` of a data folder, with what it said. */
function fsck(place: string): { child: ChildProcess; said: () => string } {
  const child = spawn(PROGRAM, ['fsck', '--data', place], { env: { PATH: process.env.PATH ?? '' }, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
  }
  return { child, said: () => text }
}

test('fsck starts a database that does not run and stops it again: when sound, failed, interrupted, or found orphaned', async () => {
  const place = data()
  const { child } = await ready(place)
  await ended(child, () => child.kill('SIGTERM'))
  expect(processesIn(place)).toEqual([])
  const sound = fsck(place)
  expect([await ended(sound.child, () => undefined), sound.said()]).toEqual([0, expect.stringContaining('The evidence is sound')])
  expect(processesIn(place)).toEqual([])
  const interrupted = fsck(place)
  await expect.poll(() => processesIn(place).length, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(await ended(interrupted.child, () => interrupted.child.kill('SIGINT'))).toBe(130)
  expect(processesIn(place)).toEqual([])
  const killed = await ready(place)
  await ended(killed.child, () => killed.child.kill('SIGKILL'))
  expect(processesIn(place).length).toBeGreaterThan(0)
  expect(await ended(fsck(place).child, () => undefined)).toBe(0)
  expect(processesIn(place)).toEqual([])
  // A database without tables.
  const bare = data()
  await once(spawn(process.execPath, [ORPHAN, bare, 'end'], { stdio: 'ignore' }), 'exit')
  const failed = fsck(bare)
  expect(await ended(failed.child, () => undefined)).toBe(1)
  expect(processesIn(bare)).toEqual([])
}, 120_000)

test('fsck beside a running server leaves it its database', async () => {
  const place = data()
  const { child } = await ready(place)
  const before = processesIn(place).length
  expect(await ended(fsck(place).child, () => undefined)).toBe(0)
  expect(processesIn(place).length).toBeGreaterThan(0)
  expect(before).toBeGreaterThan(0)
  expect(await ended(child, () => child.kill('SIGTERM'))).toBe(0)
})

test('fsck that is interrupted leaves its database to a server that has come to use it', async () => {
  const place = data()
  const { child } = await ready(place)
  await ended(child, () => child.kill('SIGTERM'))
  const { child: checking, said } = fsck(place)
  const watcher = () => new pg.Client({ host: join(place, 'socket'), user: 'rekey', database: 'rekey' })
  const owned = async () => {
    const client = watcher()
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query("select 1 from pg_locks where locktype = 'advisory' and objid = $1 and granted", [OWNER_LOCK])).rowCount
    } catch {
      return 0
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  await expect.poll(owned, { timeout: 20_000, interval: 5 }).toBe(1)
  checking.kill('SIGSTOP')
  const served = await ready(place)
  const postmaster = postmasterOf(place)
  checking.kill('SIGCONT')
  expect([await ended(checking, () => checking.kill('SIGINT')), said()]).toEqual([130, ''])
  expect(postmasterOf(place)).toBe(postmaster)
  expect((await fetch(`${served.url}/readyz`)).status).toBe(200)
  expect(await ended(served.child, () => served.child.kill('SIGTERM'))).toBe(0)
  expect(processesIn(place)).toEqual([])
}, 60_000)

test('fsck where there is no database says so and makes none', async () => {
  const place = data()
  const { child, said } = fsck(place)
  expect(await ended(child, () => undefined)).toBe(2)
  expect(said()).toContain(`There is no database in ${place}.`)
  expect(existsSync(place)).toBe(false)
  mkdirSync(place)
  expect(await ended(fsck(place).child, () => undefined)).toBe(2)
  expect(existsSync(join(place, 'postgres'))).toBe(false)
})

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { serverFolder } from '../../test/lab/copies.ts'
import { makeCtx, silentLog } from '../kernel/index.ts'
import { databaseAccount } from './embedded.places.ts'
import { type EmbeddedDatabase, keepEmbedded, openStore, startEmbedded } from './index.ts'

const ctx = makeCtx('test', 'test')
const CHILD = new URL('./embedded.child.ts', import.meta.url).pathname
const THIEF = new URL('./embedded.thief.ts', import.meta.url).pathname
const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('SKIPPED: what only root can try of the embedded database')

let folder: string
let running: EmbeddedDatabase[]
beforeEach(() => {
  folder = mkdtempSync(join(serverFolder(), 'rekey-embedded-'))
  chmodSync(folder, 0o711)
  running = []
})
afterEach(async () => {
  for (const database of running) await database.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(data = join(folder, 'data')): Promise<EmbeddedDatabase> {
  const database = await startEmbedded(ctx, data)
  running.push(database)
  return database
}

async function ask(database: EmbeddedDatabase, sql: string): Promise<unknown> {
  const store = openStore({ connection: database.connection, max: 1, log: silentLog })
  try {
    const [row] = await store.query<{ v: unknown }>(sql)
    return row?.v
  } finally {
    await store.close()
  }
}

/** Runs a child that starts the database in `data` and then does as told. Resolves with the pid of the server. */
async function child(data: string, then: 'die' | 'stop', user?: { uid: number; gid: number }): Promise<number> {
  const running = spawn(process.execPath, [CHILD, data, then], { ...user, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  running.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  await once(running, 'exit')
  return Number(out)
}

/** A zombie, which a container's first process may never collect, does not live. */
function lives(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

test('it listens on a Unix socket in a 0700 folder and on no TCP port, as an unprivileged user when we are root', async () => {
  const database = await start()
  const socket = String(database.connection.host)
  expect(statSync(socket).mode & 0o777).toBe(0o700)
  expect(await ask(database, "select current_setting('listen_addresses') as v")).toBe('')
  expect(await ask(database, "select current_setting('fsync') as v")).toBe('on')
  const sockets = execFileSync(
    'sh',
    ['-c', `ls -l /proc/${database.pid}/fd 2>/dev/null | grep -o 'socket:\\[[0-9]*\\]' | tr -dc '0-9\\n'`],
    { encoding: 'utf8' },
  )
  const tcp = readFileSync('/proc/net/tcp', 'utf8') + readFileSync('/proc/net/tcp6', 'utf8')
  for (const inode of sockets.split('\n').filter(Boolean)) expect(tcp).not.toContain(` ${inode} `)
  const owner = statSync(`/proc/${database.pid}`).uid
  expect(owner).not.toBe(0)
  if (!isRoot) expect(owner).toBe(process.getuid?.())
})

test('a second process attaches, and only the owner stops the server', async () => {
  const first = await start()
  const second = await start()
  expect([first.pid === second.pid, first.owner, second.owner]).toEqual([true, true, false])
  await second.stop()
  expect(lives(first.pid)).toBe(true)
  await first.stop()
  expect(lives(first.pid)).toBe(false)
})

test('of processes that start it at one moment one owns it, and all of them know its pid', async () => {
  await (await start()).stop()
  const databases = await Promise.all([start(), start(), start()])
  const pid = Number(readFileSync(join(folder, 'data', 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
  expect(databases.map((database) => database.pid)).toEqual([pid, pid, pid])
  expect(databases.filter(({ owner }) => owner)).toHaveLength(1)
  for (const database of databases) await database.stop()
  expect(lives(pid)).toBe(false)
})

test('who needed it for a moment only stops it at its end, unless somebody else has come to use it, who stops it then', async () => {
  const alone = await start()
  expect(alone.owner).toBe(true)
  await alone.leave()
  expect(lives(alone.pid)).toBe(false)
  const brief = await start()
  const other = await start()
  const store = openStore({ connection: other.connection, max: 1, log: silentLog })
  await store.query('select 1')
  await Promise.all([brief.leave(), brief.leave()])
  expect([lives(brief.pid), other.owner]).toEqual([true, false])
  expect(await store.query('select 1 as v')).toEqual([{ v: 1 }])
  await store.close()
  await other.stop()
  expect(lives(brief.pid)).toBe(false)
})

test('what refuses to make a database leaves none', async () => {
  const data = join(folder, 'none')
  const refuse = () => {
    throw new Error('no')
  }
  await expect(startEmbedded(makeCtx('test', 'test'), data, refuse)).rejects.toThrow('no')
  expect(existsSync(join(data, 'postgres'))).toBe(false)
})

test('when its owner was killed, whoever leaves last stops it', async () => {
  const data = join(folder, 'data')
  const owner = spawn(process.execPath, [CHILD, data, 'stay'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [pid] = (await once(owner.stdout, 'data')).map(Number)
  const [one, other] = [await start(data), await start(data)]
  expect([one.owner, other.owner, one.pid]).toEqual([false, false, pid])
  const store = openStore({ connection: other.connection, max: 1, log: silentLog })
  await store.query('select 1')
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  await one.stop()
  expect(lives(one.pid)).toBe(true)
  await store.close()
  await other.stop()
  expect(lives(one.pid)).toBe(false)
})

test('a start that is told to stop leaves no process', async () => {
  for (const ms of [0, 50, 300, 700]) {
    const stopping = new AbortController()
    const data = join(folder, `stopped-${ms}`)
    const starting = startEmbedded(makeCtx('test', 'test', { signal: stopping.signal }), data).then(
      (database) => database.stop(),
      (error: unknown) => expect(error).toMatchObject({ code: 'unavailable' }),
    )
    setTimeout(() => stopping.abort(), ms)
    await starting
    const left = readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && lives(Number(pid)) && readlinkSync(`/proc/${pid}/cwd`).startsWith(data)
      } catch {
        return false
      }
    })
    expect(left, `after ${ms} ms`).toEqual([])
  }
})

test('a server left by a killed process is attached to, keeps what was committed, and is stopped by its new owner', async () => {
  const data = join(folder, 'data')
  const pid = await child(data, 'die')
  expect(lives(pid)).toBe(true)
  const database = await start(data)
  expect([database.pid, database.owner]).toEqual([pid, true])
  expect(await ask(database, 'select count(*)::int as v from kept')).toBe(1)
  await database.stop()
  expect(lives(pid)).toBe(false)
})

test('a server that hangs is replaced, and what was committed is there', async () => {
  const data = join(folder, 'data')
  const pid = await child(data, 'die')
  process.kill(pid, 'SIGSTOP')
  const continued = setTimeout(() => process.kill(pid, 'SIGCONT'), 11_000)
  const database = await start(data)
  clearTimeout(continued)
  expect(database.pid).not.toBe(pid)
  expect(await ask(database, 'select count(*)::int as v from kept')).toBe(1)
})

test('a server that was killed outright recovers at the next start, and a stale pid file does not matter', async () => {
  const data = join(folder, 'data')
  const pid = await child(data, 'die')
  process.kill(pid, 'SIGKILL')
  await expect.poll(() => lives(pid), { timeout: 10_000 }).toBe(false)
  const database = await start(data)
  expect(await ask(database, 'select count(*)::int as v from kept')).toBe(1)
})

test('a cluster that was half made is made anew', async () => {
  const data = join(folder, 'data')
  mkdirSync(join(data, 'postgres.new', 'base'), { recursive: true })
  const database = await start(data)
  expect(await ask(database, 'select 1 as v')).toBe(1)
})

test('a data folder deeper than a socket path may be works', async () => {
  const data = join(folder, 'a'.repeat(60), 'b'.repeat(60))
  mkdirSync(join(folder, 'a'.repeat(60)), { mode: 0o711 })
  const database = await start(data)
  expect(await ask(database, 'select 1 as v')).toBe(1)
  expect(Buffer.byteLength(String(database.connection.host))).toBeLessThan(80)
})

test.runIf(isRoot)('root with a data folder that nobody else may enter: the cluster goes where its user can reach it', async () => {
  const closed = join(folder, 'closed')
  mkdirSync(closed, { mode: 0o700 })
  const database = await start(join(closed, 'data'))
  expect(await ask(database, 'select 1 as v')).toBe(1)
  const place = readFileSync(join(closed, 'data', 'database-is-in.txt'), 'utf8').trim()
  expect(place).toMatch(/^\/var\/lib\/rekey\//)
  await database.stop()
  rmSync(place, { recursive: true, force: true })
})

test.runIf(isRoot)('root with a data folder that was closed meanwhile: a server that runs is used, and none is started', async () => {
  const data = join(folder, 'data')
  const first = await start(data)
  chmodSync(data, 0o700)
  const second = await start(data)
  expect(second.pid).toBe(first.pid)
  await first.stop()
  await expect(start(data)).rejects.toMatchObject({ code: 'config_invalid', message: expect.stringContaining(`${data} is closed`) })
  expect(existsSync(join(data, 'database-is-in.txt'))).toBe(false)
  chmodSync(data, 0o711)
  expect(await ask(await start(data), 'select 1 as v')).toBe(1)
})

test.runIf(isRoot)("root: a record that names another place than root's own is refused, and nothing is made there", async () => {
  const [data, victim] = [join(folder, 'data'), join(folder, 'victim')]
  mkdirSync(data, { mode: 0o711 })
  mkdirSync(victim, { mode: 0o755 })
  for (const place of [victim, '/var/lib/rekey/../..', '/var/lib/rekey/a/b', 'relative']) {
    writeFileSync(join(data, 'database-is-in.txt'), `${place}\n`)
    await expect(start(data)).rejects.toThrow('does not name a folder in /var/lib/rekey')
  }
  expect([readdirSync(victim), readdirSync(data)]).toEqual([[], ['database-is-in.txt']])
})

test.runIf(isRoot)('a cluster of another user is refused in words', async () => {
  const data = join(folder, 'data')
  await (await start(data)).stop()
  chownSync(join(data, 'postgres'), 1, 1)
  await expect(start(data)).rejects.toThrow(/belongs to .+, and would be run by (rekey|nobody)/)
})

test('a database that is gone under a running process is not made anew', async () => {
  const data = join(folder, 'data')
  const database = await start(data)
  await database.stop()
  renameSync(join(data, 'postgres'), join(data, 'away'))
  const told: string[] = []
  const log = { ...silentLog, warn: (what: object) => void told.push(JSON.stringify(what)) }
  const kept = keepEmbedded(makeCtx('test', 'test', { log }), data, database, () => undefined)
  await expect.poll(() => told.join('\n'), { timeout: 10_000 }).toContain('is not in')
  await kept.release()
  expect(existsSync(join(data, 'postgres'))).toBe(false)
})

test.runIf(isRoot)('an ordinary user runs it as himself', async () => {
  const home = join(folder, 'home')
  mkdirSync(home)
  chownSync(home, 65534, 65534)
  const pid = await child(join(home, 'data'), 'stop', { uid: 65534, gid: 65534 })
  expect(pid).toBeGreaterThan(0)
  expect(lives(pid)).toBe(false)
  expect(statSync(join(home, 'data', 'postgres')).uid).toBe(65534)
})

/** A process of the database's user that is at work in a folder; the returned function ends it and resolves with what it said. */
async function thief(making: string, victim: string, how: 'once' | 'always'): Promise<() => Promise<string>> {
  const { uid, gid } = databaseAccount() ?? {}
  const running = spawn(process.execPath, [THIEF, making, victim, how], { uid, gid, stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  running.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await once(running.stdout, 'data')
  const exited = once(running, 'exit')
  return async () => {
    running.kill('SIGKILL')
    await exited
    return said
  }
}

test.runIf(isRoot)('links that a process of its user puts in place of what root writes are not followed', async () => {
  const victim = join(folder, 'victim')
  const state = () => [readFileSync(victim, 'utf8'), statSync(victim).mode & 0o777, statSync(victim).uid]
  writeFileSync(victim, 'root only\n', { mode: 0o600 })
  const before = state()
  const once = await thief(join(folder, 'once', 'postgres.new'), victim, 'once')
  const database = await start(join(folder, 'once'))
  expect(await once()).toContain('swapped')
  expect(state()).toEqual(before)
  for (const name of ['pg_hba.conf', 'pg_ident.conf']) {
    expect(lstatSync(join(folder, 'once', 'postgres', name)).isFile()).toBe(true)
  }
  await database.stop()
  for (const round of [1, 2, 3]) {
    const data = join(folder, `always-${round}`)
    const always = await thief(join(data, 'postgres.new'), victim, 'always')
    // Refused, or on its way to a server: which of the two depends on who was faster.
    await start(data).catch((error: unknown) => expect(error).toMatchObject({ code: 'unavailable' }))
    await always()
    expect(state()).toEqual(before)
  }
})

test.runIf(isRoot)('the log of the server is written through no link, and into no file that has another name too', async () => {
  const [data, victim] = [join(folder, 'data'), join(folder, 'victim')]
  await (await start(data)).stop()
  writeFileSync(victim, 'root only\n', { mode: 0o600 })
  const log = join(data, 'postgres.log')
  for (const put of [symlinkSync, linkSync]) {
    rmSync(log)
    put(victim, log)
    await expect(start(data)).rejects.toThrow('in the way')
    expect(readFileSync(victim, 'utf8')).toBe('root only\n')
  }
})

test.runIf(isRoot)('a link of somebody else at the place of the socket folder is not followed', async () => {
  const [deep, victim] = [join(folder, 'd'.repeat(70)), join(folder, 'victim')]
  mkdirSync(deep, { mode: 0o711 })
  mkdirSync(victim, { mode: 0o755 })
  const first = await start(join(deep, 'data'))
  const socket = String(first.connection.host)
  await first.stop()
  rmSync(socket, { recursive: true, force: true })
  symlinkSync(victim, socket)
  await expect(startEmbedded(ctx, join(deep, 'data'))).rejects.toThrow('in the way')
  expect([statSync(victim).uid, statSync(victim).mode & 0o777]).toEqual([0, 0o755])
  rmSync(socket)
})

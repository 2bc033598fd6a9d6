/** The data folder, as `rekey serve` meets it: one of another database, one that cannot be used, one that holds a token already. */
import type { ChildProcess } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { serverFolder } from '../lab/copies.ts'
import { mount, unmount } from '../lab/mounts.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { endAll, endOne, type Launched, launch } from './kit.ts'

const MARK = 'database-is-external.txt'
const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('SKIPPED: what only root can try of a data folder')
const NOBODY = { uid: 65534, gid: 65534 }
const folder = mkdtempSync(join(serverFolder(), 'rekey-folder-'))
chmodSync(folder, 0o711)

let server: LabPostgres
let serial = 0
const running: ChildProcess[] = []
const fresh = () => join(folder, `data-${++serial}`)

beforeAll(async () => {
  server = await startPostgres({ fsync: false })
})
afterEach(async () => {
  await endAll(running)
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs `rekey` until it is ready or has ended. */
const rekey = (args: string[], env: Record<string, string>, who = {}, patienceMs = 60_000): Promise<Launched> =>
  launch(running, args, { env: { HOME: '/tmp', REKEY_LOG: 'warn', ...env }, who, cwd: '/', patienceMs })

const serve = (data: string, env: Record<string, string> = {}, who = {}) => rekey(['serve', '--data', data], env, who)

/** Started and stopped again. */
async function startOnce(data: string, env: Record<string, string> = {}): Promise<Launched> {
  const ran = await serve(data, env)
  expect(ran.ready, ran.errors).toBe(true)
  await endOne(ran.child)
  return ran
}

async function database(): Promise<string> {
  const name = `folder_${++serial}`
  await server.query(`create database ${name}`)
  const { account, secret } = server.superuser
  return secret.revealText((password) => `postgres://${account}:${encodeURIComponent(password)}@127.0.0.1:${server.port}/${name}`)
}

/** Every file of a folder with its bytes. */
function filesOf(data: string): Record<string, string> {
  const names = readdirSync(data, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    names.map((name) => [name, statSync(join(data, name)).isFile() ? readFileSync(join(data, name), 'latin1') : '']),
  )
}

function expectRefused(ran: Launched, words: RegExp): void {
  expect([ran.ready, ran.child.signalCode, ran.child.exitCode], ran.errors).toEqual([false, null, 2])
  expect(ran.errors).toMatch(words)
  expect(ran.errors).toContain('hint: ')
  expect(ran.errors).not.toContain('fault of Rekey')
}

test('a folder that was used with DATABASE_URL is refused without it, and nothing in it is changed', async () => {
  const [data, url] = [fresh(), await database()]
  await startOnce(data, { DATABASE_URL: url })
  const before = filesOf(data)
  expectRefused(await serve(data), /was used with a database elsewhere, and DATABASE_URL is not set/)
  expectRefused(await rekey(['fsck', '--data', data], {}), /was used with a database elsewhere/)
  // One of a version that left no mark: keys and a token, and no database of its own.
  rmSync(join(data, MARK))
  expectRefused(await serve(data), /was used with a database elsewhere/)
  rmSync(join(data, 'admin.token'))
  expectRefused(await serve(data), /move admin\.token and kek\/ out of it/)
  const { [MARK]: _mark, 'admin.token': _token, ...kept } = before
  expect(filesOf(data)).toEqual(kept)
  await startOnce(data, { DATABASE_URL: url })
})

test('neither keys nor a token in the folder: it is known by its mark', async () => {
  const [data, url] = [fresh(), await database()]
  const [passphrase, token] = [join(folder, 'passphrase'), join(folder, 'else', 'token')]
  writeFileSync(passphrase, 'a passphrase of many words\n', { mode: 0o600 })
  const env = { REKEY_PASSPHRASE_FILE: passphrase, REKEY_TOKEN_FILE: token }
  await startOnce(data, { ...env, DATABASE_URL: url })
  const [before, text] = [filesOf(data), readFileSync(token, 'utf8')]
  expect(Object.keys(before)).toEqual([MARK])
  expectRefused(await serve(data, env), /was used with a database elsewhere/)
  expect([filesOf(data), readFileSync(token, 'utf8')]).toEqual([before, text])
})

test('a folder with a database of its own is refused with a new one, and neither is changed', async () => {
  const [data, url] = [fresh(), await database()]
  await startOnce(data)
  const kept = () => [readdirSync(join(data, 'kek')), readFileSync(join(data, 'admin.token'), 'utf8'), existsSync(join(data, MARK))]
  const before = kept()
  expectRefused(await serve(data, { DATABASE_URL: url }), /has a database of its own, and that of DATABASE_URL is a new one/)
  expect(kept()).toEqual(before)
  const client = new pg.Client(url)
  await client.connect()
  const { rowCount } = await client.query("select 1 from pg_tables where schemaname = 'public'")
  await client.end()
  expect(rowCount).toBe(0)
  await startOnce(data)
})

test('an older token file is kept beside the new one, and the start says so', async () => {
  const data = fresh()
  mkdirSync(join(data, 'else'), { recursive: true })
  const token = join(data, 'else', 'admin.token')
  writeFileSync(token, 'the token of another database\n', { mode: 0o644 })
  const ran = await startOnce(data, { REKEY_TOKEN_FILE: token })
  const [kept] = readdirSync(join(data, 'else')).filter((name) => name !== 'admin.token')
  const path = join(data, 'else', kept ?? '')
  expect(ran.errors).toContain(`the older one is kept in ${path}`)
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['the token of another database\n', 0o600])
  expect(readFileSync(token, 'utf8')).toMatch(/^rekey_/)
  expect((await startOnce(data, { REKEY_TOKEN_FILE: token })).errors).not.toContain('is kept in')
})

test('plain HTTP beyond this machine is warned of, on loopback it is not', async () => {
  const data = fresh()
  const warning = /warning: Rekey speaks plain HTTP on 0\.0\.0\.0/
  expect((await startOnce(data, { REKEY_LISTEN: '0.0.0.0:0' })).errors).toMatch(warning)
  for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
    expect((await startOnce(data, { REKEY_LISTEN: `${host}:0` })).errors).not.toContain('plain HTTP')
  }
})

/** What must be the same after every start: token and keys, and the cluster itself. */
function identityOf(data: string, home = data): unknown {
  const keys = readdirSync(join(data, 'kek')).sort()
  return [readFileSync(join(data, 'admin.token'), 'utf8'), keys, statSync(join(home, 'postgres')).ino, readdirSync(data).sort()]
}

/** What is in root's place for databases that a data folder of this name has, or might have got. */
function elsewhere(data: string): string[] {
  return existsSync('/var/lib/rekey') ? readdirSync('/var/lib/rekey').filter((name) => name.startsWith(`${basename(data)}-`)) : []
}

test.runIf(isRoot)(
  'root: a folder that is closed after the first start is refused by every command, and gets no second database',
  async () => {
    const parent = join(folder, `closing-${++serial}`)
    const data = join(parent, `closing-data-${serial}`)
    mkdirSync(parent, { mode: 0o711 })
    await startOnce(data)
    const before = identityOf(data)
    const there = elsewhere(data)
    for (const closed of [data, parent]) {
      chmodSync(closed, 0o700)
      const words = new RegExp(`is in ${data}, and its user, (rekey|nobody), cannot get there: ${closed} is closed`)
      const ran = await serve(data)
      expectRefused(ran, words)
      expect(ran.errors).toContain(`chmod o+x ${closed}.`)
      expectRefused(await rekey(['fsck', '--data', data], {}), words)
      expect([identityOf(data), elsewhere(data)]).toEqual([before, there])
      chmodSync(closed, 0o711)
    }
    await startOnce(data)
    expect(identityOf(data)).toEqual(before)
  },
)

test.runIf(isRoot)(
  'root: a database that was made outside of a closed folder is used when that is opened, and is never made again',
  async () => {
    const data = join(folder, `opening-${++serial}`)
    mkdirSync(data, { mode: 0o700 })
    expectRefused(await rekey(['fsck', '--data', data], {}), /There is no database in/)
    expect([readdirSync(data), elsewhere(data)]).toEqual([[], []])
    await startOnce(data)
    const home = readFileSync(join(data, 'database-is-in.txt'), 'utf8').trim()
    try {
      const before = identityOf(data, home)
      chmodSync(data, 0o711)
      await startOnce(data)
      expect((await rekey(['fsck', '--data', data], {})).child.exitCode).toBe(0)
      expect([identityOf(data, home), existsSync(join(data, 'postgres'))]).toEqual([before, false])
      mkdirSync(join(data, 'postgres'))
      expectRefused(await serve(data), /has two databases: one in it, and one in/)
      rmSync(join(data, 'postgres'), { recursive: true })
      renameSync(join(home, 'postgres'), join(home, 'moved'))
      expectRefused(await serve(data), /was made in .+, and is not there any more/)
      expectRefused(await rekey(['fsck', '--data', data], {}), /is not there any more/)
      expect([readdirSync(data).sort(), existsSync(join(home, 'postgres'))]).toEqual([(before as unknown[])[3], false])
      renameSync(join(home, 'moved'), join(home, 'postgres'))
      await startOnce(data)
      expect(identityOf(data, home)).toEqual(before)
    } finally {
      await endAll(running)
      rmSync(home, { recursive: true, force: true })
    }
  },
)

// As root everything may be written.
const asNobody = isRoot ? NOBODY : {}

test('a data folder where none can be made ends the start at once', async () => {
  expectRefused(await rekey(['serve', '--data', '/proc/foo'], {}, asNobody, 20_000), /\/proc.* cannot be used/)
  expectRefused(await rekey(['serve', '--data', '/proc/foo/bar'], {}, {}, 20_000), /\/proc.* cannot be used/)
  expectRefused(await serve('/proc/foo', { DATABASE_URL: await database() }), /\/proc.* cannot be used/)
})

test('a data folder that cannot be written or is none says which, why and what to do', async () => {
  const closed = join(folder, 'ro')
  mkdirSync(closed, { mode: 0o500 })
  if (isRoot) chownSync(closed, NOBODY.uid, NOBODY.gid)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  expectRefused(await serve(join(closed, 'x'), {}, asNobody), /ro\/x, cannot be used: the mode of \S+\/ro is closed to its owner/)
  expectRefused(await serve(closed, {}, asNobody), /ro, cannot be used: the mode of \S+\/ro is closed/)
  for (const path of [file, join(file, 'x')]) expectRefused(await serve(path), /file\S*, cannot be used: there is a file where a folder/)
  expectRefused(await serve(join(folder, 'x'.repeat(300))), /the path is too long/)
  expectRefused(await serve(join(folder, ...Array.from({ length: 30 }, () => 'y'.repeat(200)))), /too long/)
})

test.runIf(isRoot)('a disk without room for the database is told as that, and what was made is used when there is room', async () => {
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  const size = (to: string, remount: readonly string[]) =>
    mount('-t', 'tmpfs', '-o', [...remount, `size=${to}`, 'mode=0711'].join(), 'tmpfs', disk)
  size('8m', [])
  try {
    const full = await serve(join(disk, 'data'))
    expect([full.ready, full.child.exitCode], full.errors).toEqual([false, 1])
    expect(full.errors).toMatch(/There is no room for the database in \S+disk\/data: the disk is full/)
    size('300m', ['remount'])
    await startOnce(join(disk, 'data'))
  } finally {
    unmount(disk)
  }
})

test.runIf(isRoot)('somebody else’s data folder is told as that, at once, running or not', async () => {
  const data = fresh()
  const ran = await serve(data)
  expect(ran.ready, ran.errors).toBe(true)
  const refused = /data-\d+, cannot be used: \S+ belongs to root and is closed to nobody/
  expectRefused(await serve(data, {}, NOBODY), refused)
  await endOne(ran.child)
  const late = await serve(data, {}, NOBODY)
  expectRefused(late, refused)
  expect(late.errors).toContain('Run Rekey as root, or name a folder of your own with --data.')
  expect(late.errors).not.toContain('still')
})

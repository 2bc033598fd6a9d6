import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { type Ctx, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import { type Account, databaseAccount, ownName, passableFolder, reachablePlace, reachablePrograms, systemHome } from './embedded.places.ts'

const OWNER_LOCK = 7_395_002
const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 20_000

/** Rekey's own PostgreSQL: a Unix socket in a 0700 folder, no TCP port, peer authentication for this operating-system user only. */
export interface EmbeddedDatabase {
  readonly connection: pg.ClientConfig
  readonly pid: number
  /** True if this process will stop the server: it started it, or took over one that a killed process left behind. */
  readonly owner: boolean
  /** Stops the server if this process owns it, and waits for its end. Safe to call twice. */
  stop(): Promise<void>
}

interface Places {
  readonly cluster: string
  readonly socket: string
  readonly log: string
  readonly programs: string
  readonly account: Account | null
}

/**
 * Starts the embedded database in `dataFolder`, makes it first if there is none, or attaches to one that runs there already. As root
 * the server runs as an unprivileged user. Throws `unavailable` with the end of the server's log if it does not come up, and
 * `config_invalid` if there are no server programs for this machine.
 */
export async function startEmbedded(ctx: Ctx, dataFolder: string): Promise<EmbeddedDatabase> {
  const places = await findPlaces(dataFolder)
  const connection: pg.ClientConfig = { host: places.socket, port: 5432, user: 'rekey', database: 'rekey', ssl: false }
  await makeCluster(places)
  const running = await attach(ctx, places, connection)
  const pid = running ?? (await startServer(ctx, places, connection))
  await makeDatabase(connection)
  return hold(connection, pid)
}

async function findPlaces(dataFolder: string): Promise<Places> {
  const account = databaseAccount()
  passableFolder(dataFolder, account)
  const home = reachablePlace(dataFolder, account)
  passableFolder(home, account)
  const socket = ownFolder(socketFolder(home), account)
  return { cluster: join(home, 'postgres'), socket, log: join(home, 'postgres.log'), programs: await reachablePrograms(account), account }
}

/** A socket's path has at most 107 bytes (unix(7)), so a deep data folder gets a short one under /tmp. */
function socketFolder(home: string): string {
  const near = join(home, 'socket')
  if (Buffer.byteLength(near) <= 80) return near
  // Root's place is not one where others could have put something first.
  return join(process.getuid?.() === 0 ? systemHome() : '/tmp', `socket-${ownName(home)}`)
}

function ownFolder(path: string, account: Account | null): string {
  if (!existsSync(dirname(path))) passableFolder(dirname(path), account)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
  }
  // Somebody else's folder or link by that name is not ours to change.
  const { uid, mode } = lstatSync(path)
  const ours = [process.getuid?.(), account?.uid].includes(uid) && (mode & 0o170000) === 0o040000
  if (!ours)
    throw new RekeyError('unavailable', `Something of another user is in the way: ${path}`, {
      hint: 'Remove it, or use another data folder.',
    })
  if (account) lchownSync(path, account.uid, account.gid)
  chmodSync(path, 0o700)
  return path
}

const SETTINGS = `
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = '64MB'
wal_level = minimal
max_wal_senders = 0
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_connections = ''
log_line_prefix = '%m [%p] '
`

/** Made beside its final place and renamed, so that a crash never leaves half a cluster that looks whole. */
async function makeCluster(places: Places): Promise<void> {
  if (existsSync(places.cluster)) return
  const making = `${places.cluster}.new`
  rmSync(making, { recursive: true, force: true })
  ownFolder(making, places.account)
  await runProgram(places, making, 'initdb', ['-D', making, '-U', 'rekey', '-E', 'UTF8', '--locale=C', '-A', 'reject', '--no-instructions'])
  const write = (name: string, text: string, flag: 'w' | 'a' = 'w') => writeFileSync(join(making, name), text, { flag })
  write('postgresql.conf', `${SETTINGS}unix_socket_directories = '${places.socket.replaceAll("'", "''")}'\n`, 'a')
  write('pg_hba.conf', 'local all all peer map=rekey\n')
  write('pg_ident.conf', `rekey ${JSON.stringify(ownName())} rekey\n`)
  renameSync(making, places.cluster)
}

function runProgram(places: Places, cwd: string, program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const identity = places.account ? { uid: places.account.uid, gid: places.account.gid } : {}
    const child = spawn(join(places.programs, 'bin', program), args, {
      ...identity,
      cwd,
      env: {},
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000)
    })
    child.on('error', (error) =>
      reject(new RekeyError('unavailable', `${program} cannot be run.`, { detail: messageOf(error), cause: error })),
    )
    child.on('close', (code) => (code === 0 ? resolve() : reject(new RekeyError('unavailable', `${program} failed.`, { detail: errors }))))
  })
}

/** The pid in postmaster.pid, if that process lives and really serves this cluster (a pid may have been given to another program). */
function serverPid(places: Places): number | null {
  try {
    const pid = Number(readFileSync(join(places.cluster, 'postmaster.pid'), 'utf8').split('\n')[0])
    return pid > 0 && readlinkSync(`/proc/${pid}/cwd`) === places.cluster ? pid : null
  } catch {
    return null
  }
}

/** False also for a process that has ended and only waits for its parent to notice. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return false
  }
}

async function answers(connection: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...connection, database: 'postgres', connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Uses the server that a killed process left. One that runs but does not answer is ended, so that a new one can take its place. */
async function attach(ctx: Ctx, places: Places, connection: pg.ClientConfig): Promise<number | null> {
  const pid = serverPid(places)
  if (pid === null) return null
  const until = ctx.clock.monotonicMs() + 10_000
  while (serverPid(places) === pid && ctx.clock.monotonicMs() < until) {
    if (await answers(connection)) {
      ctx.log.info({ pid }, 'attached to the embedded database that runs here')
      return pid
    }
    await sleep(100, ctx.signal)
  }
  await endServer(ctx, pid)
  return null
}

/**
 * A killed server leaves children that need a moment to notice, and, where nobody collects dead processes (a container's first
 * process may not), a pid that still seems taken: PostgreSQL then refuses to start for good. So: wait until no process works in the
 * cluster any more, and only then take away the lock files of a server that is dead.
 */
async function startServer(ctx: Ctx, places: Places, connection: pg.ClientConfig): Promise<number> {
  const until = ctx.clock.monotonicMs() + 10_000
  while (worksIn(places.cluster) && ctx.clock.monotonicMs() < until) await sleep(20, ctx.signal)
  if (!worksIn(places.cluster)) {
    const left = [join(places.cluster, 'postmaster.pid'), join(places.socket, '.s.PGSQL.5432.lock'), join(places.socket, '.s.PGSQL.5432')]
    for (const file of left) rmSync(file, { force: true })
  }
  return startOnce(ctx, places, connection)
}

/** True if any living process has the cluster as its working folder, as every process of a PostgreSQL server has. */
function worksIn(cluster: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === cluster && isAlive(Number(pid))
    } catch {
      return false
    }
  })
}

async function startOnce(ctx: Ctx, places: Places, connection: pg.ClientConfig): Promise<number> {
  const log = openSync(places.log, 'a', 0o600)
  const identity = places.account ? { uid: places.account.uid, gid: places.account.gid } : {}
  // Its own process group: Ctrl-C reaches Rekey, which finishes its work and then stops the database.
  const child = spawn(join(places.programs, 'bin', 'postgres'), ['-D', places.cluster], {
    ...identity,
    cwd: places.cluster,
    env: { LC_ALL: 'C', TZ: 'UTC' },
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.unref()
  await untilAnswers(ctx, places, connection, child)
  return child.pid ?? 0
}

async function untilAnswers(ctx: Ctx, places: Places, connection: pg.ClientConfig, child: ChildProcess): Promise<void> {
  let ended = false
  const onEnd = () => {
    ended = true
  }
  child.once('exit', onEnd)
  child.once('error', onEnd)
  const until = ctx.clock.monotonicMs() + START_TIMEOUT_MS
  while (!ended && ctx.clock.monotonicMs() < until) {
    if (existsSync(join(places.socket, '.s.PGSQL.5432')) && (await answers(connection))) return
    await sleep(15, ctx.signal)
  }
  const tail = readFileSync(places.log, 'utf8').slice(-1500)
  throw new RekeyError('unavailable', 'The embedded database did not start.', { detail: tail, hint: `Read ${places.log}.` })
}

async function makeDatabase(connection: pg.ClientConfig): Promise<void> {
  const client = new pg.Client({ ...connection, database: 'postgres' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const found = await client.query("select 1 from pg_database where datname = 'rekey'")
    if (found.rowCount === 0) await client.query('create database rekey')
  } catch (error) {
    // 42P04: another process that started at the same moment made it.
    if ((error as { code?: string }).code !== '42P04') throw error
  } finally {
    await client.end()
  }
}

/** Ownership is a session lock in the database itself: it cannot outlive its process, and an orphaned server has no owner. */
async function hold(connection: pg.ClientConfig, pid: number): Promise<EmbeddedDatabase> {
  const holder = new pg.Client({ ...connection, database: 'postgres', application_name: 'rekey-owner' })
  holder.on('error', () => undefined)
  await holder.connect()
  const { rows } = await holder.query<{ owner: boolean }>('select pg_try_advisory_lock($1) as owner', [OWNER_LOCK])
  const owner = rows[0]?.owner === true
  if (!owner) await holder.end()
  let stopped: Promise<void> | undefined
  const stop = async () => {
    if (!owner) return
    await holder.end().catch(() => undefined)
    await endServer(null, pid)
  }
  return {
    connection,
    pid,
    owner,
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}

/** Fast shutdown (SIGINT: sessions are ended, everything is written), and only if that hangs an immediate one (SIGQUIT). */
async function endServer(ctx: Ctx | null, pid: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', STOP_TIMEOUT_MS],
    ['SIGQUIT', 5_000],
  ] as const) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    for (let waited = 0; waited < patienceMs; waited += 20) {
      if (!isAlive(pid)) return
      await sleep(20)
    }
    ctx?.log.warn({ pid, signal }, 'the embedded database does not stop')
  }
}

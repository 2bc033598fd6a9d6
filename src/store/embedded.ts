import { spawn } from 'node:child_process'
import { closeSync, existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { type Ctx, inFolder, type RekeyError, sleep } from '../kernel/index.ts'
import { failed, findPlaces, makeCluster, openServerLog, type Places, prepareFolders, refuseIfStopping } from './embedded.cluster.ts'
import { endAtExit, endServer, isAlive, keepAtExit } from './embedded.process.ts'

const OWNER_LOCK = 7_395_002
const START_TIMEOUT_MS = 30_000
/** How long the backends of connections that were just closed may still be listed. */
const LINGER_MS = 1_000

/** Rekey's own PostgreSQL: a Unix socket in a 0700 folder, no TCP port, peer authentication for this operating-system user only. */
export interface EmbeddedDatabase {
  readonly connection: pg.ClientConfig
  readonly pid: number
  /** Where it and its programs are. */
  readonly folders: readonly string[]
  /** False once the server has ended. It is not stopped at this process's exit then. */
  isAlive(): boolean
  /** True if this process will stop the server: it started it, or took over one that a killed process left behind. */
  readonly owner: boolean
  /**
   * Stops the server and waits for its end, if this process owns it, or if its owner was killed meanwhile and no other process of
   * Rekey uses it. Safe to call twice, as is `leave`.
   */
  stop(): Promise<void>
  /**
   * As `stop`, but where another process of Rekey has come to use the server meanwhile it runs on for that one, which stops it as the last
   * that leaves. For whoever needed it for a moment only.
   */
  leave(): Promise<void>
}

/**
 * Starts the embedded database in `dataFolder`, makes it first if there is none, or attaches to one that runs there already. As root
 * the server runs as an unprivileged user. A database of this folder that exists is used, wherever it was put at the first start, or the
 * start is refused: `config_invalid` where that user cannot get to it (any more). Throws `unavailable` with the end of the server's log if
 * it does not come up, or if `ctx.signal` aborts before it is up, and `config_invalid` if there are no server programs for this machine or
 * the folder's path is too long. What it started has ended then. `onMake` is called with its folder before a database is made, which
 * takes seconds; where it throws, nothing is made but the data folder.
 */
export async function startEmbedded(
  ctx: Ctx,
  dataFolder: string,
  onMake: (folder: string) => void = () => undefined,
): Promise<EmbeddedDatabase> {
  const places = await findPlaces(dataFolder)
  const connection: pg.ClientConfig = { host: places.socket, port: 5432, user: 'rekey', database: 'rekey', ssl: false }
  if (!existsSync(places.cluster)) onMake(places.home)
  const running = await attach(ctx, places, connection)
  if (running === null) {
    prepareFolders(places)
    await makeCluster(ctx, dataFolder, places)
  }
  const server = running === null ? await startServer(ctx, places, connection) : { pid: running, ours: false }
  try {
    await makeDatabase(connection)
    return await hold(places, connection, server.pid)
  } catch (error) {
    if (server.ours) await endServer(ctx, server.pid)
    throw error
  }
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
    refuseIfStopping(ctx)
    await sleep(100, ctx.signal)
  }
  await endServer(ctx, pid)
  return null
}

/** A server that answers; `ours` if this process started it, and not another one at the same moment. */
interface Started {
  readonly pid: number
  readonly ours: boolean
}

/**
 * A killed server leaves children that need a moment to notice, and, where nobody collects dead processes (a container's first
 * process may not), a pid that still seems taken: PostgreSQL then refuses to start for good. So: wait until no process works in the
 * cluster any more, and only then take away the lock files of a server that is dead.
 */
async function startServer(ctx: Ctx, places: Places, connection: pg.ClientConfig): Promise<Started> {
  const until = ctx.clock.monotonicMs() + 10_000
  while (worksIn(places.cluster) && ctx.clock.monotonicMs() < until) {
    refuseIfStopping(ctx)
    await sleep(20, ctx.signal)
  }
  refuseIfStopping(ctx)
  if (!worksIn(places.cluster)) {
    removeIn(places.cluster, 'postmaster.pid')
    removeIn(places.socket, '.s.PGSQL.5432.lock', '.s.PGSQL.5432')
  }
  return startOnce(ctx, places, connection)
}

function removeIn(folder: string, ...names: string[]): void {
  inFolder(folder, (here) => names.map((name) => rmSync(join(here, name), { force: true })))
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

async function startOnce(ctx: Ctx, places: Places, connection: pg.ClientConfig): Promise<Started> {
  const log = openServerLog(places)
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
  const ended = new Promise<'ended'>((resolve) => child.once('exit', () => resolve('ended')).once('error', () => resolve('ended')))
  const { pid } = child
  if (pid === undefined) throw didNotStart(places)
  endAtExit(pid)
  void ended.then(() => keepAtExit(pid))
  try {
    await untilAnswers(ctx, places, connection, ended)
  } catch (error) {
    await endServer(ctx, pid)
    throw error
  }
  // Of two processes that start at one moment one has the cluster; ours has ended then, or will.
  const serving = serverPid(places) ?? pid
  return { pid: serving, ours: serving === pid }
}

async function untilAnswers(ctx: Ctx, places: Places, connection: pg.ClientConfig, ended: Promise<'ended'>): Promise<void> {
  const until = ctx.clock.monotonicMs() + START_TIMEOUT_MS
  while (ctx.clock.monotonicMs() < until) {
    refuseIfStopping(ctx)
    if (existsSync(join(places.socket, '.s.PGSQL.5432')) && (await answers(connection))) return
    const how = await Promise.race([ended, sleep(15, ctx.signal)])
    if (how !== 'ended') continue
    // Another process may have been faster, and its server not be up yet.
    if (serverPid(places) === null) break
    await sleep(15, ctx.signal)
  }
  throw didNotStart(places)
}

function didNotStart({ log }: Places): RekeyError {
  const said = readFileSync(log, 'utf8').slice(-1500)
  return failed('The embedded database did not start.', said, dirname(log), `Read ${log}.`)
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
async function hold(places: Places, connection: pg.ClientConfig, pid: number): Promise<EmbeddedDatabase> {
  const holder = new pg.Client({ ...connection, database: 'postgres', application_name: 'rekey-owner' })
  holder.on('error', () => undefined)
  await holder.connect()
  const { rows } = await holder.query<{ owner: boolean }>('select pg_try_advisory_lock($1) as owner', [OWNER_LOCK])
  const owner = rows[0]?.owner === true
  if (owner) endAtExit(pid)
  else {
    keepAtExit(pid)
    await holder.end()
  }
  let stopped: Promise<void> | undefined
  const stop = async () => {
    if (owner) await holder.end().catch(() => undefined)
    else if (!(await isLast(connection))) return
    await endServer(null, pid)
    keepAtExit(pid)
  }
  const leave = async () => {
    // Given up by a statement: the end of a session is noticed a moment later, and would look like an owner.
    if (owner) await holder.query('select pg_advisory_unlock($1)', [OWNER_LOCK]).catch(() => undefined)
    if (owner) await holder.end().catch(() => undefined)
    if (await isLast(connection)) await endServer(null, pid)
    keepAtExit(pid)
  }
  return {
    connection,
    pid,
    folders: [places.cluster, places.socket, places.log, places.programs],
    owner,
    isAlive: () => {
      if (isAlive(pid) && serverPid(places) === pid) return true
      // Its number may be another program's by the time that this process exits.
      keepAtExit(pid)
      return false
    },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
    leave: () => {
      stopped ??= leave()
      return stopped
    },
  }
}

/** True if the server has no owner any more, and nobody of Rekey uses it: whoever leaves last stops it. */
async function isLast(connection: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...connection, database: 'postgres', application_name: 'rekey-leaving', connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ ownerless: boolean }>('select pg_try_advisory_lock($1) as ownerless', [OWNER_LOCK])
    if (rows[0]?.ownerless !== true) return false
    for (let waited = 0; waited <= LINGER_MS; waited += 100) {
      const { rowCount } = await client.query("select 1 from pg_stat_activity where application_name in ('rekey', 'rekey-listen') limit 1")
      if (rowCount === 0) return true
      await sleep(100)
    }
    return false
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

import { spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Ctx, inFolder, messageOf, RekeyError, syncFolder, userName } from '../kernel/index.ts'
import {
  type Account,
  databaseAccount,
  isSystemPlace,
  ownName,
  passableFolder,
  placeOf,
  reachablePrograms,
  recordPlace,
  refuseUnreachable,
  systemPlace,
} from './embedded.places.ts'

/** PostgreSQL keeps paths in 1,024 bytes and adds names of its own; a longer data folder fails in the middle of `initdb`. */
const CLUSTER_BYTES = 1_000

/** Where everything of one embedded database is. */
export interface Places {
  /** The folder of the cluster, the socket and the log. */
  readonly home: string
  readonly cluster: string
  readonly socket: string
  readonly log: string
  readonly programs: string
  readonly account: Account | null
}

/** Throws `unavailable` if `ctx.signal` has aborted. */
export function refuseIfStopping({ signal }: Ctx): void {
  if (signal.aborted) throw new RekeyError('unavailable', 'Rekey was stopped while its database started.')
}

/**
 * Finds the places for a data folder. Of folders only the data folder itself is made. Throws `config_invalid` if its path is too long, or
 * it cannot be told where its database is.
 */
export async function findPlaces(dataFolder: string): Promise<Places> {
  const account = databaseAccount()
  passableFolder(dataFolder, account)
  const home = placeOf(dataFolder, account)
  const cluster = join(home, 'postgres')
  if (Buffer.byteLength(cluster) > CLUSTER_BYTES) {
    throw new RekeyError('config_invalid', `The path of the data folder is too long (${Buffer.byteLength(home)} bytes).`, {
      hint: `PostgreSQL takes no more than ${CLUSTER_BYTES - '/postgres'.length}.`,
    })
  }
  return { home, cluster, socket: socketFolder(home), log: join(home, 'postgres.log'), programs: await reachablePrograms(account), account }
}

/** A socket's path has at most 107 bytes (unix(7)), so a deep data folder gets a short one under /tmp. */
function socketFolder(home: string): string {
  const near = join(home, 'socket')
  if (Buffer.byteLength(near) <= 80) return near
  // Root's place is not one where others could have put something first.
  const name = `socket-${ownName(home)}`
  return process.getuid?.() === 0 ? systemPlace(name) : join('/tmp', name)
}

/**
 * Makes the folders of the places that are missing. Throws `config_invalid` where the database's user cannot get to the cluster, or it is
 * another's, and `unavailable` where something of another user has the name of a folder.
 */
export function prepareFolders({ home, cluster, socket, account }: Places): void {
  if (account !== null && isSystemPlace(home)) systemPlace(basename(home))
  passableFolder(home, account)
  refuseUnreachable(home, account)
  refuseForeign(cluster, account)
  ownFolder(socket, account)
}

/** PostgreSQL refuses a cluster of another user too, in words that do not say what to do. */
function refuseForeign(cluster: string, account: Account | null): void {
  const stat = lstatSync(cluster, { throwIfNoEntry: false })
  const [uid, name] = account === null ? [process.getuid?.(), 'this user'] : [account.uid, account.name]
  if (stat === undefined || (stat.isDirectory() && stat.uid === uid)) return
  const what = stat.isDirectory() ? `belongs to ${userName(stat.uid)}, and would be run by ${name}` : 'is not a folder'
  throw new RekeyError('config_invalid', `The database ${cluster} ${what}.`, {
    hint:
      'Run Rekey as the user that it was made by. As root, after a user named rekey was made: ' +
      'give it that folder and the folder socket beside it (chown -R).',
  })
}

/** Made, or made the account's and 0700, by its descriptor: whatever is at the path a moment later is not touched. */
function ownFolder(path: string, account: Account | null): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
  }
  try {
    inFolder(path, (_here, fd) => {
      const { uid } = fstatSync(fd)
      if (![process.getuid?.(), account?.uid].includes(uid)) throw inTheWay(path)
      if (account) fchownSync(fd, account.uid, account.gid)
      fchmodSync(fd, 0o700)
    })
  } catch (error) {
    // A link, a file, or a folder that is closed to us.
    throw ['ENOTDIR', 'ELOOP', 'EACCES'].includes((error as { code?: string }).code ?? '') ? inTheWay(path) : error
  }
}

/** Somebody else's folder or link by that name is not ours to change. */
function inTheWay(path: string): RekeyError {
  return new RekeyError('unavailable', `Something of another user is in the way: ${path}`, {
    hint: 'Remove it, or use another data folder.',
  })
}

const SETTINGS = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '100',
  shared_buffers: '64MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  log_min_error_statement: 'panic',
  log_parameter_max_length_on_error: '0',
  log_connections: '',
  log_line_prefix: '%m [%p] ',
}

/**
 * Made beside its final place and renamed, so that a crash never leaves half a cluster that looks whole. The place is on record before. In
 * the folder, which is the account's, that account's own program writes all but who may log in.
 */
export async function makeCluster(ctx: Ctx, dataFolder: string, places: Places): Promise<void> {
  if (existsSync(places.cluster)) return
  recordPlace(dataFolder, places.home)
  const making = `${places.cluster}.new`
  // Goes down by descriptors and follows no link, also of one who puts them there meanwhile.
  rmSync(making, { recursive: true, force: true })
  ownFolder(making, places.account)
  const settings = Object.entries({ ...SETTINGS, unix_socket_directories: places.socket })
  const set = settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = ['-D', making, '-U', 'rekey', '-E', 'UTF8', '--locale=C', '-A', 'reject', '--no-instructions', ...set]
  await runProgram(ctx, places, making, 'initdb', args)
  try {
    inFolder(making, (here, fd) => {
      replaceIn(here, 'pg_hba.conf', 'local all all peer map=rekey\n', places.account)
      replaceIn(here, 'pg_ident.conf', `rekey ${JSON.stringify(ownName())} rekey\n`, places.account)
      fsyncSync(fd)
    })
  } catch (error) {
    // Nobody but a process of that account, and not its database, puts anything there at this moment.
    throw ['EEXIST', 'ENOENT', 'EISDIR', 'ERR_FS_EISDIR'].includes((error as { code?: string }).code ?? '') ? inTheWay(making) : error
  }
  renameSync(making, places.cluster)
  // A power cut could take the new name back, and the next start removes what has the old one, with all that is in it by then.
  syncFolder(places.home)
}

/**
 * Puts a file of the account in place of another. The folder is the account's: any process that runs as it may change what is in there at
 * any moment, so nothing is written but into a file that was not there before, and what has the name in the end is replaced, not followed.
 */
function replaceIn(folder: string, name: string, text: string, account: Account | null): void {
  const making = join(folder, `${name}.new`)
  rmSync(making, { force: true })
  const file = openSync(making, 'wx', 0o600)
  try {
    writeSync(file, text)
    if (account) fchownSync(file, account.uid, account.gid)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(making, join(folder, name))
}

/** Opens the server's log to write at its end. Throws `unavailable` where it is no file of ours: never through a link. */
export function openServerLog({ log, account }: Places): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
  let fd: number
  try {
    fd = openSync(log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  } catch (error) {
    throw ['ELOOP', 'ENXIO', 'EISDIR'].includes((error as { code?: string }).code ?? '') ? inTheWay(log) : error
  }
  const stat = fstatSync(fd)
  if (stat.isFile() && stat.nlink === 1 && [process.getuid?.(), account?.uid].includes(stat.uid)) return fd
  closeSync(fd)
  throw inTheWay(log)
}

/** Why a program of the database failed, by what it said. Where there is no room it is that, and not the program. */
export function failed(message: string, said: string, folder: string, hint?: string): RekeyError {
  if (!/No space left on device|Disk quota exceeded/i.test(said)) {
    return new RekeyError('unavailable', message, { detail: said, ...(hint === undefined ? {} : { hint }) })
  }
  return new RekeyError('unavailable', `There is no room for the database in ${folder}: the disk is full.`, {
    detail: said,
    hint: 'Make room and start again, or name another folder with --data.',
  })
}

/** Ended if `ctx.signal` aborts. Settles when the program is gone. */
function runProgram(ctx: Ctx, places: Places, cwd: string, program: string, args: string[]): Promise<void> {
  refuseIfStopping(ctx)
  return new Promise((resolve, reject) => {
    const identity = places.account ? { uid: places.account.uid, gid: places.account.gid } : {}
    const child = spawn(join(places.programs, 'bin', program), args, {
      ...identity,
      cwd,
      env: {},
      stdio: ['ignore', 'ignore', 'pipe'],
      signal: ctx.signal,
    })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000)
    })
    child.on('error', (error) => {
      if (!ctx.signal.aborted)
        reject(new RekeyError('unavailable', `${program} cannot be run.`, { detail: messageOf(error), cause: error }))
    })
    child.on('close', (code) => (code === 0 ? resolve() : reject(failed(`${program} failed.`, errors, dirname(cwd)))))
  })
}

import { spawn } from 'node:child_process'
import { chmodSync, existsSync, lchownSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Ctx, messageOf, RekeyError, syncFolder } from '../kernel/index.ts'
import { type Account, databaseAccount, ownName, passableFolder, reachablePlace, reachablePrograms, systemHome } from './embedded.places.ts'

/** PostgreSQL keeps paths in 1,024 bytes and adds names of its own; a longer data folder fails in the middle of `initdb`. */
const CLUSTER_BYTES = 1_000

/** Where everything of one embedded database is. */
export interface Places {
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

/** Finds the places for a data folder, and makes the folders. Throws `config_invalid` if its path is too long. */
export async function findPlaces(dataFolder: string): Promise<Places> {
  const account = databaseAccount()
  passableFolder(dataFolder, account)
  const home = reachablePlace(dataFolder, account)
  const cluster = join(home, 'postgres')
  if (Buffer.byteLength(cluster) > CLUSTER_BYTES) {
    throw new RekeyError('config_invalid', `The path of the data folder is too long (${Buffer.byteLength(home)} bytes).`, {
      hint: `PostgreSQL takes no more than ${CLUSTER_BYTES - '/postgres'.length}.`,
    })
  }
  passableFolder(home, account)
  const socket = ownFolder(socketFolder(home), account)
  return { cluster, socket, log: join(home, 'postgres.log'), programs: await reachablePrograms(account), account }
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
export async function makeCluster(ctx: Ctx, places: Places): Promise<void> {
  if (existsSync(places.cluster)) return
  const making = `${places.cluster}.new`
  rmSync(making, { recursive: true, force: true })
  ownFolder(making, places.account)
  await runProgram(ctx, places, making, 'initdb', [
    '-D',
    making,
    '-U',
    'rekey',
    '-E',
    'UTF8',
    '--locale=C',
    '-A',
    'reject',
    '--no-instructions',
  ])
  const write = (name: string, text: string, flag: 'w' | 'a' = 'w') => writeFileSync(join(making, name), text, { flag, flush: true })
  write('postgresql.conf', `${SETTINGS}unix_socket_directories = '${places.socket.replaceAll("'", "''")}'\n`, 'a')
  write('pg_hba.conf', 'local all all peer map=rekey\n')
  write('pg_ident.conf', `rekey ${JSON.stringify(ownName())} rekey\n`)
  renameSync(making, places.cluster)
  // A power cut could take the new name back, and the next start removes what has the old one, with all that is in it by then.
  syncFolder(dirname(places.cluster))
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

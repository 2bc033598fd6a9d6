import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, type Stats, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type ErrorCode, RekeyError } from './errors.ts'

/** What the file system throws. */
interface FileError extends Error {
  readonly code: string
  readonly path?: string | undefined
  readonly syscall: string
}

/**
 * Makes a folder with `mode`, and those above it that are missing. Resolves with the topmost that it made, `undefined` if the folder was
 * there. Not `mkdirSync(…, { recursive: true })`: where the file system says "no such file" when it is asked to make one (`/proc`), that
 * goes round for ever below JavaScript, where no signal ends it. Throws what the file system throws, `ENOTDIR` where a file has the name.
 */
export function makeFolders(path: string, mode: number): string | undefined {
  const missing: string[] = []
  for (let at = resolve(path); statOf(at) === null && at !== dirname(at); at = dirname(at)) missing.push(at)
  let first: string | undefined
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode })
      first ??= folder
    } catch (error) {
      // Another process may make the same at this moment.
      if ((error as FileError).code !== 'EEXIST') throw error
    }
  }
  // Also of a link to nowhere, which is neither there nor can be made.
  if (statSync(path).isDirectory()) return first
  throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR', path, syscall: 'mkdir' })
}

/**
 * Works in a folder that another user may move away, or replace by a link, at any moment: `use` gets a path that leads to the very folder
 * that was opened, and its descriptor (Linux). Throws what the file system throws: `ENOTDIR` where `path` itself is a link or no folder.
 */
export function inFolder<T>(path: string, use: (here: string, fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    return use(`/proc/self/fd/${fd}`, fd)
  } finally {
    closeSync(fd)
  }
}

/** Null if there is nothing by that name. Throws what else the file system does. */
function statOf(path: string): Stats | null {
  return statSync(path, { throwIfNoEntry: false }) ?? null
}

/** Why a file or folder cannot be used, for people, and with which code: the configuration is at fault, or the machine at the moment. */
const WHY: Readonly<Record<string, readonly [code: ErrorCode, why: string, todo: string]>> = {
  ENOSPC: ['unavailable', 'the disk is full', 'Make room and start again.'],
  EDQUOT: ['unavailable', 'its user has used up the quota', 'Make room and start again.'],
  EROFS: ['config_invalid', 'the file system is read-only', 'Name a folder that can be written with --data.'],
  ENOTDIR: ['config_invalid', 'there is a file where a folder should be', 'Move it away, or name another folder with --data.'],
  EISDIR: ['config_invalid', 'there is a folder where a file should be', 'Move it away, or name another file.'],
  EEXIST: ['config_invalid', 'something else has the name', 'Move it away, or name another folder with --data.'],
  ENAMETOOLONG: ['config_invalid', 'the path is too long', 'Name a shorter one with --data.'],
  ELOOP: ['config_invalid', 'its links lead in a circle', 'Name another folder with --data.'],
  ENOENT: ['config_invalid', 'it is not there and cannot be made', 'Name another folder with --data.'],
}

/**
 * What the file system threw, as an error for people: which file or folder, why, and what to do; `config_invalid`, `unavailable` where
 * there is no room. Anything else is handed back as it is.
 */
export function fileFault(error: unknown): unknown {
  if (error instanceof RekeyError || !isFileError(error)) return error
  const { code, path } = error
  const [kind, why, hint] = WHY[code] ?? noAccess(code, path) ?? []
  if (kind === undefined || why === undefined) return error
  const where = path === undefined ? 'A file or folder of Rekey' : `A file or folder of Rekey, ${path},`
  return new RekeyError(kind, `${where} cannot be used: ${why}.`, { hint, cause: error })
}

function isFileError(error: unknown): error is FileError {
  return error instanceof Error && 'code' in error && 'syscall' in error && !('address' in error)
}

/** What is there and is closed: the path itself, or the folder above it in which nothing may be made or looked up. */
function noAccess(code: string, path: string | undefined): readonly [ErrorCode, string, string] | null {
  if (code !== 'EACCES' && code !== 'EPERM') return null
  let at = resolve(path ?? '.')
  while (ownerOf(at) === null && at !== dirname(at)) at = dirname(at)
  const [owner, me] = [ownerOf(at) ?? 0, process.getuid?.() ?? 0]
  const other = 'name a folder of your own with --data.'
  if (owner === me) return ['config_invalid', `the mode of ${at} is closed to its owner, ${userName(me)}`, `Change it, or ${other}`]
  const [whose, who] = [userName(owner), userName(me)]
  return ['config_invalid', `${at} belongs to ${whose} and is closed to ${who}`, `Run Rekey as ${whose}, or ${other}`]
}

function ownerOf(path: string): number | null {
  try {
    return statSync(path).uid
  } catch {
    return null
  }
}

/** `root`, or `user 1005` where the machine has no name for it. */
export function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((each) => each.split(':')[2] === String(uid))
    return line?.split(':')[0] || `user ${uid}`
  } catch {
    return `user ${uid}`
  }
}

/**
 * Throws `config_invalid` if this user cannot keep files in a folder: somebody else's, read-only, or no folder. One that is not there yet
 * is no fault.
 */
export function refuseClosedFolder(path: string): void {
  try {
    const stat = statOf(path)
    if (stat === null) return
    if (!stat.isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR', path, syscall: 'stat' })
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw fileFault(error)
  }
}

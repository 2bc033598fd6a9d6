import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { promisify } from 'node:util'
import { RekeyError } from '../kernel/index.ts'

const PROGRAM = '/usr/bin/cp'
/** It looks at two open files: long before this something is wrong with the file system. */
const MOST_MS = 10_000
const OTHERS = 0o077

/** What is kept of the file that is replaced. `mode`: permission bits. */
export interface Rights {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/**
 * Gives an empty file, which only its owner may open so far, the owner, mode and access control list of another. To be called before
 * anything is written to it: nobody reads of it what he could not read of the other. Throws `conflict` if that is not certain.
 *
 * A list (POSIX ACL) hides behind the mode: its mask is shown as the rights of the group, and copying the bits alone gives the group what
 * only a named user had. Node reads no lists, so GNU `cp` copies them, through the handles held here. Where nobody but the owner has any
 * right by the mode, no list can give one, and no program is started. `program`: another one than the system's, for tests.
 */
export async function copyRights(from: FileHandle, to: FileHandle, rights: Rights, path: string, program = PROGRAM): Promise<void> {
  if (process.getuid?.() === 0) await to.chown(rights.uid, rights.gid)
  if ((rights.mode & OTHERS) === 0) return to.chmod(rights.mode)
  if (!(await isGnu(program))) throw unsure(path, `${program} of GNU coreutils is missing`)
  const paths = [from, to].map((_, index) => `/proc/self/fd/${3 + index}`)
  const child = spawn(program, ['--attributes-only', '--preserve=mode', '--', ...paths], {
    stdio: ['ignore', 'ignore', 'ignore', from.fd, to.fd],
    env: {},
    cwd: '/',
    timeout: MOST_MS,
    killSignal: 'SIGKILL',
  })
  const status: unknown = await once(child, 'close').then(
    ([code]) => code,
    () => null,
  )
  if (status !== 0) throw unsure(path, `${program} could not copy them`)
  // Changed meanwhile, or copied by halves: what is not known to be the same is not written to.
  if (((await to.stat()).mode & 0o777) !== rights.mode) throw unsure(path, 'they changed meanwhile')
}

const known = new Set<string>()

/** Other programs of this name know the options and not always the lists. */
async function isGnu(program: string): Promise<boolean> {
  if (known.has(program)) return true
  const { stdout } = await promisify(execFile)(program, ['--version'], { env: {}, cwd: '/', timeout: MOST_MS }).catch(() => ({
    stdout: '',
  }))
  if (stdout.includes('(GNU coreutils)')) known.add(program)
  return known.has(program)
}

function unsure(path: string, why: string): RekeyError {
  return new RekeyError('conflict', `Who may read ${path} could not be kept as it is: ${why}. Nothing was written.`, {
    hint: 'Install GNU coreutils, or let only the owner of the file read it (`chmod 600`).',
  })
}

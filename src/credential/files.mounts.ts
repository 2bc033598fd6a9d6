/** What is mounted where, as the kernel tells this process. */
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). */
export interface Mount {
  readonly id: string
  readonly parent: string
  /** `major:minor`. */
  readonly device: string
  /** Which folder of the file system is mounted, and where. */
  readonly root: string
  readonly at: string
}

export type Mounts = ReadonlyMap<string, Mount>

/** Its fields have blanks and backslashes as octal escapes. */
const plain = (field: string) => field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** By id. `mountinfo`: the text of `/proc/self/mountinfo`, each byte as a character: names need not be UTF-8. */
export function parseMounts(mountinfo: string): Mounts {
  const mounts = mountinfo.split('\n').flatMap((line): Mount[] => {
    const [id, parent, device, root, at] = line.split(' ')
    if (id === undefined || parent === undefined || device === undefined || root === undefined || at === undefined) return []
    return [{ id, parent, device, root: plain(root), at: plain(at) }]
  })
  return new Map(mounts.map((mount) => [mount.id, mount]))
}

/** Every mount that this process sees. */
export function readMounts(): Mounts {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'latin1'))
}

/** A path as the file system itself knows it, whichever mount leads to it; null if it is not below that mount. */
export function inside({ device, root, at }: Mount, path: string): string | null {
  return isWithin(path, at) ? `${device} ${join(root, path.slice(at === '/' ? 0 : at.length))}` : null
}

/** True for the folder itself and everything below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

/** The mount through which an open file was reached; empty where the kernel does not say. Asking it never waits, as with all of /proc. */
export function mountOf({ fd }: Pick<FileHandle, 'fd'>): string {
  return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? ''
}

/** The path of what is open, each byte as a character. */
export function pathOf({ fd }: Pick<FileHandle, 'fd'>): string {
  return readlinkSync(`/proc/self/fd/${fd}`, 'latin1')
}

/** Where in which file system what is open lies, whichever mount leads to it. Null if this process does not see that mount. */
export function spotOf(handle: Pick<FileHandle, 'fd'>, mounts: Mounts): string | null {
  const mount = mounts.get(mountOf(handle))
  return mount === undefined ? null : inside(mount, pathOf(handle))
}

/** open(2): only the place is held, so that no right to read is needed. Node has no name for it. */
export const O_PATH = 0o10000000

/** The same of a path, links followed; undefined if nothing is there. */
export function spotAt(path: string, mounts: Mounts): string | null | undefined {
  let fd: number
  try {
    fd = openSync(path, O_PATH)
  } catch {
    return undefined
  }
  try {
    return spotOf({ fd }, mounts)
  } finally {
    closeSync(fd)
  }
}

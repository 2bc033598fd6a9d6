import { type FileHandle, readFile, readlink, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'

/** One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). */
interface Mount {
  readonly id: string
  readonly parent: string
  /** `major:minor`. */
  readonly device: string
  /** Which folder of the file system is mounted, and where. */
  readonly root: string
  readonly at: string
}

/** Its fields have blanks and backslashes as octal escapes. */
const plain = (field: string) => field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

function parseMounts(mountinfo: string): ReadonlyMap<string, Mount> {
  const mounts = mountinfo.split('\n').flatMap((line): Mount[] => {
    const [id, parent, device, root, at] = line.split(' ')
    if (id === undefined || parent === undefined || device === undefined || root === undefined || at === undefined) return []
    return [{ id, parent, device, root: plain(root), at: plain(at) }]
  })
  return new Map(mounts.map((mount) => [mount.id, mount]))
}

/** A path as the file system itself knows it, whichever mount leads to it; null if it is not below that mount. */
function inside({ device, root, at }: Mount, path: string): string | null {
  const base = at === '/' ? '' : at
  return path === at || path.startsWith(`${base}/`) ? `${device} ${join(root, path.slice(base.length))}` : null
}

/**
 * True if something is mounted on the file at `path`, which is reached through the mount `mountId`. Linux renames nothing over a name that
 * is a mount point anywhere in this process's mounts, also where another mount of the same folder leads to it and nothing is seen there:
 * so the name in the file system is compared, not the path. `mountinfo`: the text of `/proc/self/mountinfo`.
 */
export function isMountedOn(mountinfo: string, mountId: string, path: string): boolean {
  const mounts = parseMounts(mountinfo)
  const own = mounts.get(mountId)
  const name = own === undefined ? null : inside(own, path)
  if (name === null) return false
  return [...mounts.values()].some((mount) => {
    const below = mounts.get(mount.parent)
    return below !== undefined && below.id !== mount.id && inside(below, mount.at) === name
  })
}

/** The mount through which an open file was reached. */
async function mountOf({ fd }: FileHandle): Promise<string> {
  return /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? ''
}

/**
 * Throws `conflict` for a file that is there and over which no other can be renamed, so that it is known before a value dies for it: one on
 * which something is mounted, and what `requireMovable` finds. Devices are not compared: overlay file systems (containers) give a file
 * another one than its folder.
 */
export async function requireReplaceable(folder: FileHandle, file: FileHandle, name: string, path: string): Promise<void> {
  const mount = await mountOf(folder)
  // Bytes as they are: names need not be UTF-8.
  const real = join(await readlink(`/proc/self/fd/${folder.fd}`, 'latin1'), Buffer.from(name).toString('latin1'))
  const mounted = (await mountOf(file)) !== mount || isMountedOn(await readFile('/proc/self/mountinfo', 'latin1'), mount, real)
  if (mounted) {
    throw new RekeyError('conflict', `The file is a mount point, over which no new file can be put: ${path}`, {
      hint: 'Mount the folder that it is in, not the file by itself.',
    })
  }
  await requireMovable(`/proc/self/fd/${folder.fd}/${name}`, path)
}

/**
 * Throws `conflict` if the kernel would refuse to take away the name of a file that is no folder: immutable or append-only, its folder
 * append-only, or sticky and the file another user's. It is asked by removing a *folder* of that name: the rights are looked at first
 * (EPERM), then that it is none (ENOTDIR), and nothing is changed or told to who watches the file. No call of Node's reads those
 * attributes, and opening for writing would wake watchers.
 */
export async function requireMovable(at: string, path: string): Promise<void> {
  try {
    await rmdir(at)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOTDIR' || code === 'ENOENT') return
    if (code !== 'EPERM' && code !== 'EACCES') throw error
    throw new RekeyError('conflict', `The system lets Rekey put no new file in place of this one: ${path}`, {
      hint: "It is immutable or append-only (`lsattr`), or another user's in a sticky folder. Mend that, or name another file.",
    })
  }
}

import { type FileHandle, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'
import { inside, type Mounts, mountOf, pathOf, readMounts } from './files.mounts.ts'

/**
 * True if something is mounted on the file at `path`, which is reached through the mount `mountId`. Linux renames nothing over a name that
 * is a mount point anywhere in this process's mounts, also where another mount of the same folder leads to it and nothing is seen there:
 * so the name in the file system is compared, not the path.
 */
export function isMountedOn(mounts: Mounts, mountId: string, path: string): boolean {
  const own = mounts.get(mountId)
  const name = own === undefined ? null : inside(own, path)
  if (name === null) return false
  return [...mounts.values()].some((mount) => {
    const below = mounts.get(mount.parent)
    return below !== undefined && below.id !== mount.id && inside(below, mount.at) === name
  })
}

/**
 * Throws `conflict` for a file that is there and over which no other can be renamed, so that it is known before a value dies for it: one on
 * which something is mounted, and what `requireMovable` finds. Devices are not compared: overlay file systems (containers) give a file
 * another one than its folder.
 */
export async function requireReplaceable(folder: FileHandle, file: FileHandle, name: string, path: string): Promise<void> {
  const mount = mountOf(folder)
  // Bytes as they are: names need not be UTF-8.
  const real = join(pathOf(folder), Buffer.from(name).toString('latin1'))
  const mounted = mountOf(file) !== mount || isMountedOn(readMounts(), mount, real)
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

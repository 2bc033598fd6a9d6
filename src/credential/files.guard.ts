import { constants } from 'node:fs'
import { type FileHandle, open, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'
import { isWithin, O_PATH, readMounts } from './files.mounts.ts'
import { type Held, isInTrees, lookAt, realPathOf, type Trees, treesOf } from './files.own.ts'

/** What the kernel shows as files: writing there sets a knob, or another process's memory, and keeps nothing. */
const KERNEL: readonly string[] = ['/proc', '/sys', '/dev']
/** The same wherever it is mounted (statfs(2)): procfs, sysfs, control groups, devpts; debugfs, tracefs, configfs, bpf, securityfs. */
const KERNEL_TYPES: ReadonlySet<number> = new Set([
  ...[0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1],
  ...[0x64626720, 0x74726163, 0x62656570, 0xcafe4a11, 0x73636673],
])

/**
 * How the file that is prepared beside a consumer's is called. No consumer's file may be called so: it would be removed and
 * written over.
 */
export function besideName(name: string): string {
  return `.${name}${PREPARED}`
}

const PREPARED = '.rekey-new'
const OWN = "it is one of Rekey's own files"
const IN_KERNEL = 'it is where the kernel shows files, and no file is kept'

/** A folder that is looked at once for all files in it. */
interface Folder {
  readonly held: Held
  /** The kernel makes up what is in it. */
  readonly isMadeUp: boolean
}

/** Where no consumer's file may be, as everything is at one moment. */
export class Guard {
  readonly #mounts = readMounts()
  readonly #own: Trees
  readonly #kernel: Trees
  readonly #reals: Promise<string[]>
  /** By path: the folder, or the nearest above that is there, and the name in that one that leads to it. */
  readonly #folders = new Map<string, Promise<{ readonly folder: Folder; readonly missing: string | null }>>()

  /** `own`: files and folders that are Rekey's own. */
  constructor(own: readonly string[]) {
    this.#own = treesOf(own, this.#mounts, true)
    this.#kernel = treesOf(KERNEL, this.#mounts, false)
    this.#reals = Promise.all(own.map(realPathOf))
  }

  /**
   * Why no consumer's file of this name may be in an open folder, as half a sentence; null if it may. Asked of what is open, not of a
   * path: whoever may change a folder above changes nothing of the answer. Rejects as the file system does.
   */
  async whyNotIn(handle: FileHandle, name: string): Promise<string | null> {
    const folder = await this.#lookAt(handle)
    const path = Buffer.from(folder.held.path, 'latin1').toString()
    return (await this.#whyNotCalled(join(path, name))) ?? this.#whyNotHeld(folder, `/proc/self/fd/${handle.fd}/${name}`)
  }

  /** The same of a path, of which not all needs to be there. */
  async whyNotAt(path: string): Promise<string | null> {
    const known = this.#folders.get(dirname(path)) ?? this.#nearest(dirname(path))
    this.#folders.set(dirname(path), known)
    const called = await this.#whyNotCalled(path)
    if (called !== null) return called
    const { folder, missing } = await known
    const above = Buffer.from(folder.held.path, 'latin1').toString()
    const why = await this.#whyNotCalled(join(above, missing ?? '', basename(path)))
    return why ?? this.#whyNotHeld(folder, missing === null ? path : join(above, missing.split('/')[0] ?? ''))
  }

  async #nearest(path: string, missing: string | null = null): Promise<{ folder: Folder; missing: string | null }> {
    try {
      await using handle = await open(path, O_PATH | constants.O_DIRECTORY)
      return { folder: await this.#lookAt(handle), missing }
    } catch (error) {
      if (path === '/') throw error
      return this.#nearest(dirname(path), missing === null ? basename(path) : join(basename(path), missing))
    }
  }

  async #lookAt(handle: FileHandle): Promise<Folder> {
    const [held, { type }] = await Promise.all([lookAt(handle, this.#mounts), statfs(`/proc/self/fd/${handle.fd}`)])
    return { held, isMadeUp: KERNEL_TYPES.has(type) }
  }

  async #whyNotCalled(path: string): Promise<string | null> {
    const kernel = KERNEL.find((folder) => isWithin(path, folder))
    if (kernel !== undefined) return `it is in ${kernel}, where no file is kept`
    if (basename(path).startsWith('.') && path.endsWith(PREPARED)) return 'Rekey prepares files under names like this one'
    return (await this.#reals).some((own) => isWithin(path, own)) ? OWN : null
  }

  /** `way`: the path by which the file is reached. */
  async #whyNotHeld({ held, isMadeUp }: Folder, way: string): Promise<string | null> {
    if (await isInTrees(held, way, this.#own)) return OWN
    return isMadeUp || (await isInTrees(held, way, this.#kernel)) ? IN_KERNEL : null
  }
}

/** Throws `conflict` if the file of this name in an open folder may not be written. `path` is what the fleet file says. */
export async function refuseOwnPlace(path: string, folder: FileHandle, own: readonly string[]): Promise<void> {
  const why = await new Guard(own).whyNotIn(folder, basename(path))
  if (why === null) return
  throw new RekeyError('conflict', `No value is written to ${path}: ${why}.`, {
    hint: 'Name another file for the consumer in the fleet file, and apply it.',
  })
}

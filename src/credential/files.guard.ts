import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'

/** What the kernel shows as files: writing there sets a knob, or another process's memory, and keeps nothing. */
const KERNEL: readonly string[] = ['/proc', '/sys', '/dev']

/**
 * How the file that is prepared beside a consumer's is called. No consumer's file may be called so: it would be removed and
 * written over.
 */
export function besideName(name: string): string {
  return `.${name}${PREPARED}`
}

const PREPARED = '.rekey-new'

/** Why no consumer's file may be at this real path, as half a sentence; null if it may. `own`: real paths that are Rekey's own. */
export function whyNotThere(real: string, own: readonly string[]): string | null {
  const kernel = KERNEL.find((folder) => isWithin(real, folder))
  if (kernel !== undefined) return `it is in ${kernel}, where no file is kept`
  if (basename(real).startsWith('.') && real.endsWith(PREPARED)) return 'Rekey prepares files under names like this one'
  return own.some((path) => isWithin(real, path)) ? "it is one of Rekey's own files" : null
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

/** The path with every link in it followed, as far as it exists; the rest stays as written. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(await realPathOf(above), basename(path))
  }
}

/**
 * What tells one file from another however it is reached, by links in the folders above or by a folder that is mounted twice: the folder
 * itself and the name in it. Where there is no such folder yet, its path with links followed.
 */
export async function placeId(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(dirname(path))
    return `${dev}:${ino}/${basename(path)}`
  } catch {
    return join(await realPathOf(dirname(path)), basename(path))
  }
}

/** Throws `conflict` if a file at this real path may not be written. `path` is what the fleet file says. */
export async function refuseOwnPlace(path: string, real: string, own: readonly string[]): Promise<void> {
  const why = whyNotThere(real, await Promise.all(own.map(realPathOf)))
  if (why === null) return
  throw new RekeyError('conflict', `No value is written to ${path}: ${why}.`, {
    hint: 'Name another file for the consumer in the fleet file, and apply it.',
  })
}

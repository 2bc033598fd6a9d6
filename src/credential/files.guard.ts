import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'

/** What the kernel shows as files: writing there sets a knob, or another process's memory, and keeps nothing. */
const KERNEL: readonly string[] = ['/proc', '/sys', '/dev']

/** Why no consumer's file may be at this real path, as half a sentence; null if it may. `own`: real paths that are Rekey's own. */
export function whyNotThere(real: string, own: readonly string[]): string | null {
  const kernel = KERNEL.find((folder) => isWithin(real, folder))
  if (kernel !== undefined) return `it is in ${kernel}, where no file is kept`
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

/** Throws `conflict` if a file at this real path may not be written. `path` is what the fleet file says. */
export async function refuseOwnPlace(path: string, real: string, own: readonly string[]): Promise<void> {
  const why = whyNotThere(real, await Promise.all(own.map(realPathOf)))
  if (why === null) return
  throw new RekeyError('conflict', `No value is written to ${path}: ${why}.`, {
    hint: 'Name another file for the consumer in the fleet file, and apply it.',
  })
}

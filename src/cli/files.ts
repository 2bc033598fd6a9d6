import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { RekeyError } from '../kernel/index.ts'

/** Bytes of a file or of standard input, and what the file system says about who may read it. */
export interface Input {
  readonly bytes: Uint8Array
  /** Permission bits; null for standard input. */
  readonly mode: number | null
}

/**
 * Reads a file or pipe that the command line names, or standard input for `-`, at most `most` bytes and one more, by which the caller
 * sees that it is too long. Throws `bad_input` with `name` (the path unless given) if it cannot be read.
 */
export async function readInput(path: string, most: number, name = path): Promise<Input> {
  // Not /dev/stdin: where standard input is a socket, it cannot be opened again.
  if (path === '-') return { bytes: await collect(process.stdin, most), mode: null }
  try {
    await using file = await open(path, 'r')
    return await contentOf(file, most)
  } catch (error) {
    throw notRead(path, name, codeOf(error))
  }
}

/**
 * Reads a file that another file names, as `readInput`. It must be a regular one, links followed: nobody who reviews a name expects a
 * pipe, at which a command would wait for ever, or a device.
 */
export async function readRegular(path: string, most: number, name = path): Promise<Input> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    const stat = await file.stat()
    if (stat.isFile() || stat.isDirectory()) return await contentOf(file, most)
  } catch (error) {
    throw notRead(path, name, codeOf(error))
  }
  throw notRead(path, name, 'not a regular file')
}

async function contentOf(file: FileHandle, most: number): Promise<Input> {
  const { mode } = await file.stat()
  return { bytes: await collect(file.createReadStream({ autoClose: false }), most), mode }
}

function notRead(path: string, name: string, why: string): RekeyError {
  const hint = why === 'ENOENT' && name === path ? { hint: 'There is no such file: say where it is, or - for standard input.' } : {}
  return new RekeyError('bad_input', `${name} cannot be read${name === path ? '' : `: ${path}`} (${why}).`, hint)
}

const READABLE_BY_OTHERS = 0o044

/** Warns if others may read a file that holds a secret. `mode`: its permission bits; null for standard input. */
export function warnIfReadable(what: string, mode: number | null, warn: (text: string) => void): void {
  if ((mode ?? 0) & READABLE_BY_OTHERS) warn(`${what} can be read by others: chmod 600 it`)
}

/** The system's name for what went wrong (`ENOENT`), which is free of content. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
}

async function collect(stream: AsyncIterable<Buffer>, most: number): Promise<Uint8Array> {
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of stream) {
    pieces.push(piece)
    length += piece.length
    if (length > most) break
  }
  return Buffer.concat(pieces).subarray(0, most + 1)
}

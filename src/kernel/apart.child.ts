/** What a child of `withChild` does to hear and to say something. It waits for each word: it has nothing else to do. */
import { readSync, writeSync } from 'node:fs'
import { deserialize } from 'node:v8'
import { type Framed, frame, LENGTH_BYTES, lengthIn } from './apart.wire.ts'
import { RekeyError } from './errors.ts'

const STDIN = 0
const STDOUT = 1

const gone = (detail: string) => new RekeyError('internal', 'A child process got no answer.', { detail })

/** Exactly so many bytes. Throws if the server has gone. */
function read(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const got = readSync(STDIN, bytes, at, length - at, null)
    if (got === 0) throw gone('the end')
    at += got
  }
  return bytes
}

/** The next word of the process that started this one. Throws `internal` if that has gone. */
export function hear(): unknown {
  return deserialize(read(lengthIn(read(LENGTH_BYTES), gone)))
}

/** Says a word to it. */
export function say(word: Framed): void {
  const bytes = frame(word)
  for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at)
}

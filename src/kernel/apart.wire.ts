/** In which form a child process and the one that started it tell each other something: words, each with its length before it. */
import { deserialize, serialize } from 'node:v8'
import type { RekeyError } from './errors.ts'

/** Anything that the engine can copy. */
export type Framed = object

/** No word is longer, bytes. */
const WORD_MAX = 128 * 1024 * 1024
/** Before each word: the length of its bytes. */
export const LENGTH_BYTES = 4

/** One word with its length before it. */
export function frame(word: Framed): Buffer {
  const body = serialize(word)
  const head = Buffer.alloc(LENGTH_BYTES)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}

/** The length that stands before a word. Throws what `died` makes if no word is so long. */
export function lengthIn(head: Uint8Array, died: (detail: string) => RekeyError): number {
  const length = Buffer.from(head.buffer, head.byteOffset, head.byteLength).readUInt32BE()
  if (length > WORD_MAX) throw died('a word without end')
  return length
}

function wordIn<Word>(bytes: Uint8Array, died: (detail: string) => RekeyError): Word {
  try {
    return deserialize(bytes) as Word
  } catch {
    // What the engine says of it may quote it.
    throw died('what is no word')
  }
}

/** The words in a stream of bytes. Ends with the stream; what was not whole by then is left out. Throws as `lengthIn`. */
export async function* wordsIn<Word>(bytes: AsyncIterable<Uint8Array>, died: (detail: string) => RekeyError): AsyncGenerator<Word> {
  let held: Uint8Array[] = []
  let size = 0
  let wanted = LENGTH_BYTES
  let inHead = true
  for await (const chunk of bytes) {
    held.push(chunk)
    size += chunk.length
    while (size >= wanted) {
      const all = Buffer.concat(held)
      const word = all.subarray(0, wanted)
      held = [all.subarray(wanted)]
      size = all.length - wanted
      if (inHead) wanted = lengthIn(word, died)
      else {
        yield wordIn<Word>(word, died)
        wanted = LENGTH_BYTES
      }
      inHead = !inHead
    }
  }
}

import { RekeyError, Secret } from '../kernel/index.ts'
import { messageSignature, open, seal } from '../seal/index.ts'

/** Sealed cursors are multiples of this, bytes: their length tells nothing of a name. */
const BLOCK_BYTES = 64
const FORM = /^[A-Za-z0-9_-]+$/

/**
 * Cursors of lists, as clients see them. Where a page ends may be the key of a row that the asker may not see, so it is sealed; and since
 * nobody can make one, nobody can ask what follows a name of their choice. All servers of an installation open what one has sealed, also
 * after a restart.
 */
export class Cursors {
  readonly #key: Secret

  /** `secret`: one of this installation's; another key is derived from it. */
  constructor(secret: Secret) {
    this.#key = new Secret(Buffer.from(messageSignature(secret, 'rekey cursors v1'), 'hex'))
  }

  /** `list`: which list it is of; it opens for no other. */
  seal(list: string, text: string): string {
    const size = Math.ceil((Buffer.byteLength(text) + 1) / BLOCK_BYTES) * BLOCK_BYTES
    const padded = Buffer.alloc(size)
    padded.write(text, 'utf8')
    return Buffer.from(seal(this.#key, new Secret(padded), boundTo(list))).toString('base64url')
  }

  /** What was sealed. Throws `bad_input` for anything that this installation has not sealed for this list. */
  open(list: string, cursor: string): string {
    try {
      if (!FORM.test(cursor)) throw noCursor()
      const padded = open(this.#key, Buffer.from(cursor, 'base64url'), boundTo(list))
      return padded.reveal((bytes) => Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString('utf8'))
    } catch {
      throw noCursor()
    }
  }
}

function boundTo(list: string): string {
  return `cursor of ${list}`
}

function noCursor(): RekeyError {
  return new RekeyError('bad_input', 'This is not a cursor of this list.', { hint: 'Send `next` of the page before as it is.' })
}

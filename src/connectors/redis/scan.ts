import { NOT_REDIS } from './faults.ts'

/** Replies in replies. Ours go to four: a transaction with an account, its selectors and their fields. */
const DEEPEST = 8
/** What one reply takes besides its text, bytes: its place in a list, its head, and what the allocator adds. */
const REPLY = 64
/** What an error takes: the library makes an object with a stack of each. */
const ERROR = 2048
/** Nothing that is longer than nine digits is a length. */
const LENGTH_DIGITS = 9
/** A number has at most these (64 bits). */
const NUMBER_DIGITS = 19

const CR = 13
const LF = 10
const [PLUS, MINUS, ZERO, NINE] = [0x2b, 0x2d, 0x30, 0x39]
const [SIMPLE, FAULT, NUMBER, TEXT, LIST] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a]

/** The fault of a server that says what no Redis says on such a connection. */
export function notRedis(): Error {
  return Object.assign(new Error('What answers does not speak as Redis does.'), { code: NOT_REDIS })
}

type Place = 'type' | 'line' | 'number' | 'text' | 'return' | 'newline'

/**
 * Looks at what comes before the library does (RESP2, redis.io "Redis serialization protocol specification"). The library makes a list of
 * whatever length is announced, at every depth: 275 bytes of a hostile server took all memory. So a list is paid for when it is announced,
 * and what such a connection cannot be told is refused: kinds of RESP3, lengths that are none, lists that lie too deep.
 *
 * It keeps its place between pieces, and no byte of what they say.
 */
export class Scan {
  readonly #keep: (bytes: number) => boolean
  #place: Place = 'type'
  #type = SIMPLE
  #value = 0
  #digits = 0
  /** 0 where no sign was said. */
  #sign = 0
  /** So much of a text is still to come. */
  #left = 0
  /** How many replies are missing in each list that is open, the innermost last. */
  readonly #open: number[] = []

  /** `keep` is told how much memory what is announced will take, and says whether it may. */
  constructor(keep: (bytes: number) => boolean) {
    this.#keep = keep
  }

  /** Throws for a piece that the library must not see; what comes after it means nothing. */
  see(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; ) at = this.#step(piece, at)
  }

  /** Goes on at this place; returns the next. */
  #step(piece: Uint8Array, at: number): number {
    const byte = piece[at] ?? 0
    switch (this.#place) {
      case 'type':
        this.#begin(byte)
        return at + 1
      case 'line': {
        const end = piece.indexOf(CR, at)
        if (end < 0) return piece.length
        this.#place = 'newline'
        return end + 1
      }
      case 'number':
        this.#read(byte)
        return at + 1
      case 'text': {
        const come = Math.min(this.#left, piece.length - at)
        this.#left -= come
        if (this.#left === 0) this.#place = 'return'
        return at + come
      }
      case 'return':
        if (byte !== CR) throw notRedis()
        this.#place = 'newline'
        return at + 1
      case 'newline':
        if (byte !== LF) throw notRedis()
        this.#endLine()
        return at + 1
    }
  }

  #begin(type: number): void {
    if (type === SIMPLE || type === FAULT) {
      this.#pay(type === FAULT ? ERROR : REPLY)
      this.#place = 'line'
    } else if (type === NUMBER || type === TEXT || type === LIST) {
      this.#pay(REPLY)
      this.#place = 'number'
    } else throw notRedis()
    this.#type = type
    this.#value = this.#digits = this.#sign = 0
  }

  #read(byte: number): void {
    const mostDigits = this.#type === NUMBER ? NUMBER_DIGITS : LENGTH_DIGITS
    if (byte === CR && this.#digits > 0) {
      this.#place = 'newline'
    } else if (byte >= ZERO && byte <= NINE) {
      this.#value = this.#value * 10 + byte - ZERO
      this.#digits++
      // A length of more digits is one of more than may come.
      if (this.#digits > mostDigits) this.#pay(Number.POSITIVE_INFINITY)
    } else if ((byte === MINUS || (byte === PLUS && this.#type === NUMBER)) && this.#digits === 0 && this.#sign === 0) {
      this.#sign = byte
    } else throw notRedis()
  }

  /** The head of a reply is read, or all of it. */
  #endLine(): void {
    const [type, length] = [this.#type, this.#value]
    this.#place = 'type'
    this.#type = SIMPLE
    const none = this.#sign === MINUS
    // The library takes any negative length for this one, and goes on four bytes further.
    if ((type === TEXT || type === LIST) && none && (length !== 1 || this.#digits !== 1)) throw notRedis()
    if (type === TEXT && !none) {
      this.#pay(length)
      this.#left = length
      this.#place = length === 0 ? 'return' : 'text'
    } else if (type === LIST && !none && length > 0) {
      this.#pay(this.#open.length < DEEPEST ? length * REPLY : Number.POSITIVE_INFINITY)
      this.#open.push(length)
    } else this.#endReply()
  }

  /** One reply is whole, and so are the lists that end with it. */
  #endReply(): void {
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      if (left > 1) {
        this.#open.push(left - 1)
        return
      }
    }
  }

  #pay(bytes: number): void {
    if (!this.#keep(bytes)) throw notRedis()
  }
}

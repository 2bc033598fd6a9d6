import type { Socket } from 'node:net'
import { RekeyError } from '../kernel/index.ts'

const MIB = 1024 * 1024
/** How much may come for one call, bytes: about one account (our longest answers are some kilobytes), or for a list. */
const MOST = { small: 1 * MIB, large: 16 * MIB } as const
/** How much memory what came for one call may take, bytes by estimate: a few bytes of an answer can become values of kilobytes. */
const ROOM = { small: 8 * MIB, large: 64 * MIB } as const
/** And for the calls on all connections of this process together. */
const ROOM_TOGETHER = 256 * MIB
/** What each piece takes besides its bytes while it waits for the rest of its answer, bytes. */
const PIECE = 512

/** How long an answer may be: about one account, or a list of accounts, rights or sessions. */
export type Size = keyof typeof MOST

/** The code of the fault with which a connection ends that brought more than was asked for. */
const TOO_MUCH = 'ANSWER_TOO_LONG'
/** The code of the fault with which the one ends that holds most, where all together hold too much. */
const TOO_MUCH_TOGETHER = 'ANSWERS_TOO_LONG_TOGETHER'

/** Those with calls under way, and how much they hold together. */
const holding = new Set<Intake>()
let together = 0

/**
 * Counts what one connection brings. The libraries keep whatever arrives until it makes an answer, so a server that never stops talking
 * would take all memory. `end` closes the connection; it is called with the fault once more has come than the calls under way may bring.
 */
export class Intake {
  readonly #end: (fault: Error) => void
  #left: number = MOST.small
  #room: number = ROOM.small
  /** What came takes so much memory, by estimate. */
  #held = 0
  #calls = 0
  #fault: Error | null = null

  constructor(end: (fault: Error) => void) {
    this.#end = end
  }

  /** Why the connection was ended; null while all is well. */
  get fault(): Error | null {
    return this.#fault
  }

  /** Runs a call that may bring so much; of calls under way at once, what the largest may. Rejects with the fault if too much came. */
  async during<T>(size: Size, work: () => Promise<T>): Promise<T> {
    const first = this.#calls === 0
    if (first) this.#held = 0
    this.#left = first ? MOST[size] : Math.max(this.#left, MOST[size])
    this.#room = first ? ROOM[size] : Math.max(this.#room, ROOM[size])
    this.#calls++
    try {
      return await work()
    } catch (error) {
      throw this.#fault ?? error
    } finally {
      this.#calls--
      if (this.#calls === 0) this.#rest()
    }
  }

  /** So many bytes came, in one piece. */
  take(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) this.refuse(tooMuch(TOO_MUCH))
    else this.keep(bytes + PIECE)
  }

  /** What came takes so many more bytes of memory, by estimate. False if that is too much: then the connection was ended. */
  keep(bytes: number): boolean {
    if (this.#fault !== null) return false
    if (this.#held + bytes > this.#room) {
      this.refuse(tooMuch(TOO_MUCH))
    } else {
      this.#held += bytes
      if (this.#calls > 0) this.#keepTogether(bytes)
    }
    return this.#fault === null
  }

  /** Ends the connection with this fault, unless it was ended before. */
  refuse(fault: Error): void {
    if (this.#fault !== null) return
    this.#fault = fault
    this.#leave()
    this.#end(fault)
  }

  /** Nobody is sure to say when an idle connection is gone, so only those with calls under way are counted together. */
  #keepTogether(bytes: number): void {
    together += bytes
    holding.add(this)
    if (together <= ROOM_TOGETHER) return
    // The one that holds most, so that systems which say little go on.
    let most: Intake = this
    for (const each of holding) if (each.#held > most.#held) most = each
    most.refuse(tooMuch(TOO_MUCH_TOGETHER))
  }

  #rest(): void {
    this.#leave()
    this.#held = 0
    this.#left = MOST.small
    this.#room = ROOM.small
  }

  #leave(): void {
    if (holding.delete(this)) together -= this.#held
  }
}

/** A piece of this length has others behind it: TLS cuts at it, and a socket reads up to four times as much. */
const FULL_PIECE = 16 * 1024

/**
 * Lets others have their turn before the next piece is read. A socket that is full is read thirty-two times in a row: with ten of them
 * nobody else had a turn while twenty MiB were looked through. Short answers, which are all on the way of a rotation, are not held up.
 */
export function byTurns(stream: Socket, piece: Uint8Array): void {
  if (piece.length < FULL_PIECE) return
  stream.pause()
  setImmediate(() => void stream.resume())
}

function tooMuch(code: string): Error {
  return Object.assign(new Error('the server answered without end'), { code })
}

/** The error for a connection that ended because too much came; null for all other codes. `system`: what it is called in errors. */
export function flooded(system: string, code: string): RekeyError | null {
  if (code === TOO_MUCH_TOGETHER) {
    return new RekeyError('target_unreachable', `All systems together answered more than Rekey holds at once, ${system} the most.`, {
      hint: 'Ask again. If it comes again, look at what answers at the addresses of the systems.',
      detail: TOO_MUCH_TOGETHER,
    })
  }
  if (code !== TOO_MUCH) return null
  return new RekeyError('target_conflict', `${system} answered far more than was asked, and the connection was closed.`, {
    hint: 'Look at what answers at the address of the system.',
    detail: TOO_MUCH,
  })
}

import { RekeyError } from '../kernel/index.ts'

const MIB = 1024 * 1024
/** How much may come for one call, bytes: about one account (our longest answers are some kilobytes), or for a list. */
const MOST = { small: 1 * MIB, large: 16 * MIB } as const

/** How long an answer may be: about one account, or a list of accounts, rights or sessions. */
export type Size = keyof typeof MOST

/** The code of the fault with which a connection ends that brought more than was asked for. */
const TOO_MUCH = 'ANSWER_TOO_LONG'

/**
 * Counts what one connection brings. The libraries keep whatever arrives until it makes an answer, so a server that never stops talking
 * would take all memory. `end` closes the connection; it is called with the fault once more has come than the calls under way may bring.
 */
export class Intake {
  readonly #end: (fault: Error) => void
  #left: number = MOST.small
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
    this.#left = this.#calls === 0 ? MOST[size] : Math.max(this.#left, MOST[size])
    this.#calls++
    try {
      return await work()
    } catch (error) {
      throw this.#fault ?? error
    } finally {
      this.#calls--
      if (this.#calls === 0) this.#left = MOST.small
    }
  }

  /** So many bytes came. */
  take(bytes: number): void {
    this.#left -= bytes
    if (this.#left >= 0 || this.#fault !== null) return
    this.#fault = Object.assign(new Error('the server answered without end'), { code: TOO_MUCH })
    this.#end(this.#fault)
  }
}

/** `target_conflict` if a connection ended because too much came; null for all other codes. `system`: what it is called in errors. */
export function flooded(system: string, code: string): RekeyError | null {
  if (code !== TOO_MUCH) return null
  return new RekeyError('target_conflict', `${system} answered far more than was asked, and the connection was closed.`, {
    hint: 'Look at what answers at the address of the system.',
    detail: TOO_MUCH,
  })
}

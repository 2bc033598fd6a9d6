/** Places where decisions are made, each with an instance of its own. */
import { RekeyError, systemClock } from '../kernel/index.ts'
import { Engine } from './cedar.engine.ts'

/** Most times that an instance is made anew in so long: something makes it fail at each question then. */
const DAMAGES_MAX = 10
const DAMAGES_WITHIN_MS = 60_000

/**
 * Where decisions are made: one instance, which is replaced when something in it failed otherwise than by an answer. A failure leaves its
 * stack where it was, and the next ones would fail for it too.
 */
export class Bench {
  #engine: Engine | null = null
  #made = 0
  #damagesMs: number[] = []

  /**
   * The instance, and which one it is: what was prepared in another one must be prepared again. Throws `unavailable` where it fails on and
   * on.
   */
  whole(): { readonly engine: Engine; readonly made: number } {
    this.#engine ??= this.#anew()
    return { engine: this.#engine, made: this.#made }
  }

  /** No decision is made with this instance any more. */
  damaged(): void {
    this.#engine = null
    this.#damagesMs = [...this.#damagesMs, systemClock.monotonicMs()].slice(-DAMAGES_MAX)
  }

  /** So many of the last damages have a cause that is dealt with: they say nothing against the next instance. */
  explained(count: number): void {
    this.#damagesMs = this.#damagesMs.slice(0, Math.max(0, this.#damagesMs.length - count))
  }

  #anew(): Engine {
    const [first] = this.#damagesMs
    if (this.#damagesMs.length === DAMAGES_MAX && first !== undefined && systemClock.monotonicMs() - first < DAMAGES_WITHIN_MS) {
      throw new RekeyError('unavailable', 'The engine that decides on policies fails again and again: nothing is decided.', {
        hint: 'Try again in a minute; the log of the server says what it fails at.',
      })
    }
    const engine = new Engine()
    this.#made++
    return engine
  }
}

/** Where the policies in force are decided by. Nothing else is done there. */
export const IN_FORCE = new Bench()
/** Where sets are tried that were read before and are not in force. */
export const ON_TRIAL = new Bench()

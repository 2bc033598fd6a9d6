import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { SystemSpec } from './contract.ts'
import { gaveUp, withDeadline } from './deadline.ts'

/** Idle root connections are closed after this: a target must not carry ours between rotations. */
const IDLE_MS = 10_000

/** A connection, as far as a pool handles it. */
export interface Pooled {
  /** True once it cannot be used any more. */
  readonly dead: boolean
  /** Says goodbye and waits until it is closed. Never rejects. */
  end(): Promise<void>
  /** Closes at once, without a word. */
  destroy(): void
}

interface Idle<C> {
  readonly connection: C
  readonly timer: NodeJS.Timeout
}

/**
 * Root connections to one target, at most `spec.concurrent`, opened at need by `login`. Not the libraries' pools: this one drops
 * connections of an older root secret, and bounds a whole call by one deadline.
 */
export class Pool<C extends Pooled> {
  readonly #system: string
  readonly #login: (signal: AbortSignal) => Promise<C>
  #spec: SystemSpec
  /** Grows when the root secret changes; connections of an older generation are not used again. */
  #generation = 0
  #open = 0
  #closed = false
  readonly #idle: Idle<C>[] = []
  readonly #waiting = new Set<() => void>()
  readonly #busy = new Set<C>()

  /** `system`: what the connector's system is called in errors. `login` reads the secrets from `spec`. */
  constructor(system: string, spec: SystemSpec, login: (signal: AbortSignal) => Promise<C>) {
    this.#system = system
    this.#spec = spec
    this.#login = login
  }

  get spec(): SystemSpec {
    return this.#spec
  }

  /** Whether a call would be served at once, by a connection that is there. */
  get ready(): boolean {
    return this.#open < this.#spec.concurrent && this.#idle.some((idle) => !idle.connection.dead)
  }

  /** Every connection at this moment; one that says goodbye counts until it is closed. */
  all(): C[] {
    return [...this.#busy, ...this.#idle.map((idle) => idle.connection)]
  }

  /**
   * Runs `use` on one connection within `spec.timeoutMs`, waiting and login included. Rejects with what `use` and `login` reject with,
   * or `target_unreachable` when the time is over or the pool is closed.
   */
  run<T>(ctx: Ctx, use: (connection: C, signal: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(ctx, this.#spec.timeoutMs, async (signal) => {
      await this.#slot(signal)
      const generation = this.#generation
      let connection: C | null = null
      try {
        connection = this.#takeIdle() ?? (await this.#login(signal))
        this.#busy.add(connection)
        return await use(connection, signal)
      } finally {
        await this.#release(connection, generation)
      }
    })
  }

  /** Goes on with another root secret: what is idle is closed, what is busy is closed when it comes back. */
  async forget(spec: SystemSpec): Promise<void> {
    this.#spec = spec
    this.#generation++
    await this.#closeIdle()
  }

  /** Closes everything; calls that are under way fail. */
  async close(): Promise<void> {
    this.#closed = true
    this.#generation++
    for (const connection of this.#busy) connection.destroy()
    for (const wake of this.#waiting) wake()
    await this.#closeIdle()
  }

  async #slot(signal: AbortSignal): Promise<void> {
    while (this.#open >= this.#spec.concurrent && !this.#closed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
    if (this.#closed) throw new RekeyError('target_unreachable', `The way to this ${this.#system} is closed.`, { detail: 'closed' })
    if (signal.aborted) {
      // It may have been woken for a place that another can use.
      this.#wakeOne()
      throw gaveUp(this.#system)
    }
    this.#open++
  }

  #takeIdle(): C | null {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer)
      if (!idle.connection.dead) return idle.connection
    }
    return null
  }

  async #release(connection: C | null, generation: number): Promise<void> {
    if (connection && !connection.dead && generation === this.#generation) {
      const timer = setTimeout(() => void this.#drop(connection), IDLE_MS)
      this.#idle.push({ connection, timer: timer.unref() })
    } else {
      await connection?.end()
    }
    if (connection) this.#busy.delete(connection)
    this.#open--
    this.#wakeOne()
  }

  #wakeOne(): void {
    const [wake] = this.#waiting
    wake?.()
  }

  async #drop(connection: C): Promise<void> {
    const at = this.#idle.findIndex((idle) => idle.connection === connection)
    if (at < 0) return
    this.#idle.splice(at, 1)
    await connection.end()
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    for (const each of idle) clearTimeout(each.timer)
    await Promise.all(idle.map((each) => each.connection.end()))
  }
}

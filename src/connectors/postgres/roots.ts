import { type Ctx, RekeyError } from '../../kernel/index.ts'
import type { SystemSpec } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { sqlState, targetError } from './faults.ts'
import { gaveUp, Wire } from './wire.ts'

/** Idle root connections are closed after this: a target must not carry ours between rotations. */
const IDLE_MS = 10_000

interface Idle {
  readonly wire: Wire
  readonly timer: NodeJS.Timeout
}

/**
 * Root connections to one target, at most `spec.concurrent`, opened at need. Not the library's pool: this one tries several root
 * secrets, drops connections of an older secret, bounds the whole call by one deadline and destroys whatever did not answer.
 */
export class Roots {
  #spec: SystemSpec
  /** Index in `rootSecrets` of the one that worked last. */
  #preferred = 0
  /** Grows when the root secret changes; connections of an older generation are not used again. */
  #generation = 0
  #open = 0
  #closed = false
  readonly #idle: Idle[] = []
  readonly #waiting: (() => void)[] = []
  readonly #busy = new Set<Wire>()

  constructor(spec: SystemSpec) {
    this.#spec = spec
  }

  get spec(): SystemSpec {
    return this.#spec
  }

  /** Server processes of ours on the target at this moment. */
  pids(): number[] {
    return [...this.#busy, ...this.#idle.map((idle) => idle.wire)].flatMap((wire) => wire.pid ?? [])
  }

  /** Runs `use` on one connection within `timeoutMs`, waiting and login included. Rejects as `targetError` classes errors. */
  async run<T>(ctx: Ctx, use: (wire: Wire, signal: AbortSignal) => Promise<T>, what: 'install' | 'other' = 'other'): Promise<T> {
    return withDeadline(ctx, this.#spec.timeoutMs, async (signal) => {
      await this.#slot(signal)
      const generation = this.#generation
      let wire: Wire | null = null
      try {
        wire = this.#takeIdle() ?? (await this.#login(signal))
        this.#busy.add(wire)
        return await use(wire, signal)
      } catch (error) {
        // Whatever happened in the middle of a script, a new connection is cheaper than to find out.
        wire?.destroy()
        throw targetError(error, what)
      } finally {
        await this.#release(wire, generation)
      }
    })
  }

  /** Goes on with another root secret: what is idle is closed, what is busy is closed when it comes back. */
  async forget(spec: SystemSpec): Promise<void> {
    this.#spec = spec
    this.#preferred = 0
    this.#generation++
    await this.#closeIdle()
  }

  /** Closes everything; calls that are under way fail. */
  async close(): Promise<void> {
    this.#closed = true
    this.#generation++
    for (const wire of this.#busy) wire.destroy()
    for (const wake of this.#waiting.splice(0)) wake()
    await this.#closeIdle()
  }

  async #slot(signal: AbortSignal): Promise<void> {
    while (this.#open >= this.#spec.concurrent && !this.#closed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          const at = this.#waiting.indexOf(wake)
          if (at >= 0) this.#waiting.splice(at, 1)
          resolve()
        }
        this.#waiting.push(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
    if (this.#closed) throw new RekeyError('target_unreachable', 'The way to this PostgreSQL is closed.', { detail: 'closed' })
    if (signal.aborted) {
      // It may have been woken for a place that another can use.
      this.#waiting[0]?.()
      throw gaveUp()
    }
    this.#open++
  }

  #takeIdle(): Wire | null {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer)
      if (!idle.wire.dead) return idle.wire
    }
    return null
  }

  /** Tries the root secrets in order, the one that worked last first. */
  async #login(signal: AbortSignal): Promise<Wire> {
    const { address, rootAccount, rootSecrets, timeoutMs } = this.#spec
    const order = [...rootSecrets.keys()].sort((a, b) => Number(b === this.#preferred) - Number(a === this.#preferred))
    let refused: unknown = new RekeyError('target_not_authorised', 'No root secret is known for this PostgreSQL.')
    for (const index of order) {
      const secret = rootSecrets[index]
      if (secret === undefined) continue
      const wire = new Wire(address, rootAccount, secret, timeoutMs)
      try {
        await wire.connect(signal)
        this.#preferred = index
        return wire
      } catch (error) {
        wire.destroy()
        if (sqlState(error) !== '28P01') throw targetError(error, 'login')
        refused = targetError(error, 'login')
      }
    }
    throw refused
  }

  async #release(wire: Wire | null, generation: number): Promise<void> {
    if (wire) this.#busy.delete(wire)
    if (wire && !wire.dead && generation === this.#generation) {
      const timer = setTimeout(() => void this.#drop(wire), IDLE_MS)
      this.#idle.push({ wire, timer: timer.unref() })
    } else {
      await wire?.end()
    }
    this.#open--
    this.#waiting[0]?.()
  }

  async #drop(wire: Wire): Promise<void> {
    const at = this.#idle.findIndex((idle) => idle.wire === wire)
    if (at < 0) return
    this.#idle.splice(at, 1)
    await wire.end()
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    for (const each of idle) clearTimeout(each.timer)
    await Promise.all(idle.map((each) => each.wire.end()))
  }
}

import { type Ctx, RekeyError } from '../../kernel/index.ts'
import type { SystemSpec } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { isWrongValue, targetError } from './faults.ts'
import { gaveUp, Link } from './link.ts'
import { parseAccount } from './names.ts'

/** Idle root connections are closed after this: a target must not carry ours between rotations. */
const IDLE_MS = 10_000

interface Idle {
  readonly link: Link
  readonly timer: NodeJS.Timeout
}

/**
 * Root connections to one target, at most `spec.concurrent`, opened at need. Not the library's pool: this one tries several root
 * secrets, drops connections of an older secret, bounds the whole call by one deadline and destroys whatever did not answer.
 */
export class Roots {
  #spec: SystemSpec
  /** Grows when the root secret changes; connections of an older generation are not used again. */
  #generation = 0
  #open = 0
  #closed = false
  #versionChecked = false
  readonly #idle: Idle[] = []
  readonly #waiting = new Set<() => void>()
  readonly #busy = new Set<Link>()

  constructor(spec: SystemSpec) {
    this.#spec = spec
  }

  get spec(): SystemSpec {
    return this.#spec
  }

  /** Sessions of ours on the target at this moment. */
  ids(): number[] {
    return [...this.#busy, ...this.#idle.map((idle) => idle.link)].filter((link) => !link.dead).map((link) => link.id)
  }

  /** Runs `use` on one connection within `timeoutMs`, waiting and login included. Rejects with the errors of `targetError`. */
  run<T>(ctx: Ctx, use: (link: Link, signal: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(ctx, this.#spec.timeoutMs, async (signal) => {
      await this.#slot(signal)
      const generation = this.#generation
      let link: Link | null = null
      try {
        link = this.#takeIdle() ?? (await this.#login(signal))
        this.#busy.add(link)
        return await use(link, signal)
      } catch (error) {
        throw targetError(error)
      } finally {
        await this.#release(link, generation)
      }
    })
  }

  /**
   * The number of a session that begins now. It is a login of its own: the server's counters of connections leave out its internal
   * threads, which are numbered too, so that a mark taken from them could lie before a session that is older than the mark.
   */
  async newestId(signal: AbortSignal): Promise<number> {
    const link = await this.#login(signal)
    this.#busy.add(link)
    await link.end()
    this.#busy.delete(link)
    return link.id
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
    for (const link of this.#busy) link.destroy()
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
    if (this.#closed) throw new RekeyError('target_unreachable', 'The way to this MariaDB is closed.', { detail: 'closed' })
    if (signal.aborted) {
      // It may have been woken for a place that another can use.
      this.#wakeOne()
      throw gaveUp()
    }
    this.#open++
  }

  #takeIdle(): Link | null {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer)
      if (!idle.link.dead) return idle.link
    }
    return null
  }

  /** Tries the root secrets in order; any other refusal than "wrong value" ends the search. */
  async #login(signal: AbortSignal): Promise<Link> {
    const { address, rootAccount, rootSecrets } = this.#spec
    let refused: unknown = new RekeyError('target_not_authorised', 'No root secret is known for this MariaDB.')
    for (const secret of rootSecrets) {
      try {
        const link = await Link.open(address, parseAccount(rootAccount).user, secret, signal)
        await this.#prepare(link, signal)
        return link
      } catch (error) {
        if (!isWrongValue(error)) throw targetError(error)
        refused = targetError(error)
      }
    }
    throw refused
  }

  /** One quoting whatever the server's defaults are, and a server that knows `OR` between ways to log in (MariaDB 10.4). */
  async #prepare(link: Link, signal: AbortSignal): Promise<void> {
    try {
      await link.query(signal, "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', sql_quote_show_create = 1")
      if (this.#versionChecked) return
      const [row] = await link.query<{ version: string }>(signal, 'SELECT VERSION() AS version')
      const [, major = 0, minor = 0] = (/^(?:5\.5\.5-)?(\d+)\.(\d+).*MariaDB/i.exec(row?.version ?? '') ?? []).map(Number)
      if (major < 10 || (major === 10 && minor < 4)) throw new RekeyError('target_unsupported', 'The server is not MariaDB 10.4 or newer.')
      this.#versionChecked = true
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  async #release(link: Link | null, generation: number): Promise<void> {
    if (link && !link.dead && generation === this.#generation) {
      const timer = setTimeout(() => void this.#drop(link), IDLE_MS)
      this.#idle.push({ link, timer: timer.unref() })
    } else {
      await link?.end()
    }
    if (link) this.#busy.delete(link)
    this.#open--
    this.#wakeOne()
  }

  #wakeOne(): void {
    const [wake] = this.#waiting
    wake?.()
  }

  async #drop(link: Link): Promise<void> {
    const at = this.#idle.findIndex((idle) => idle.link === link)
    if (at < 0) return
    this.#idle.splice(at, 1)
    await link.end()
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    for (const each of idle) clearTimeout(each.timer)
    await Promise.all(idle.map((each) => each.link.end()))
  }
}

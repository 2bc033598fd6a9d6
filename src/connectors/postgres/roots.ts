import { type Ctx, RekeyError, systemClock } from '../../kernel/index.ts'
import { TargetClocks } from '../clock.ts'
import type { SystemSpec } from '../contract.ts'
import { Pool } from '../pool.ts'
import { differenceOf, otherServer, type ServerIdentity } from '../server.ts'
import { notPostgres } from './channel.ts'
import { sqlState, targetError } from './faults.ts'
import { factsOfSystem, SYSTEM_IDENTIFIER } from './identity.ts'
import { PREPARE, SEES, TIME } from './sql.ts'
import { Wire } from './wire.ts'

/** A session, as whoever logged in knows it: the server process that serves it, and what it calls itself. */
export interface LoggedIn {
  readonly pid: number | null
  readonly account: string
  readonly application: string
}

/** What a root connection is told first. */
interface Clock {
  readonly now: string
  readonly verifiers: boolean
}
const CLOCK = { now: 'string', verifiers: 'boolean' } as const
const IDENTIFIED = { id: 'string' } as const

/** Root connections to one target. */
export class Roots {
  readonly #pool: Pool<Wire>
  /** Index in `rootSecrets` of the one that worked last. */
  #preferred = 0
  readonly #identities = new WeakMap<Wire, ServerIdentity>()
  readonly #clocks = new TargetClocks<Wire>()
  readonly #readers = new WeakSet<Wire>()

  constructor(spec: SystemSpec) {
    this.#pool = new Pool('PostgreSQL', spec, (signal) => this.#login(signal))
  }

  get spec(): SystemSpec {
    return this.#pool.spec
  }

  /** Server processes of ours on the target at this moment. */
  pids(): number[] {
    return this.#pool.all().flatMap((wire) => wire.pid ?? [])
  }

  /**
   * Runs `use` on one connection within `timeoutMs`, waiting and login included. Rejects as `targetError` classes errors.
   * `until`: the end of that time by the target's clock, after which a change of which no answer came must not begin.
   */
  async run<T>(
    ctx: Ctx,
    use: (wire: Wire, signal: AbortSignal, until: string) => Promise<T>,
    what: 'install' | 'other' = 'other',
  ): Promise<T> {
    const endMs = systemClock.monotonicMs() + this.spec.timeoutMs
    try {
      return await this.#pool.run(ctx, (wire, signal) => orDestroy(wire, use(wire, signal, String(this.#clocks.at(wire, endMs)))))
    } catch (error) {
      throw targetError(error, what)
    }
  }

  /** Which server it is at the other end of a root connection. */
  identify(ctx: Ctx): Promise<ServerIdentity> {
    return this.run(ctx, async (wire) => {
      const identity = this.#identities.get(wire)
      if (identity === undefined) throw new RekeyError('internal', 'A root connection was not introduced.')
      return identity
    })
  }

  /**
   * Whether an idle root connection sees this very session: then it lives on the server on record. False proves nothing, nor does a root
   * that is busy. Never rejects.
   */
  async sees(ctx: Ctx, session: LoggedIn): Promise<boolean> {
    return this.#pool.ready && (await this.finds(ctx, session).catch(() => false))
  }

  /** As `sees`, but waits for a root connection and makes one if there is none. Rejects as `targetError` classes errors. */
  async finds(ctx: Ctx, { pid, account, application }: LoggedIn): Promise<boolean> {
    if (pid === null) return false
    return (await this.run(ctx, (wire, signal) => wire.query(signal, SEES, [pid, application, account]))).length > 0
  }

  /** True if root may read the verifiers of all accounts on this connection. */
  readsVerifiers(wire: Wire): boolean {
    return this.#readers.has(wire)
  }

  /** A root login of its own, which the known server alone passes. Rejects as `targetError` classes errors. */
  async confirm(signal: AbortSignal): Promise<void> {
    await (await this.#login(signal)).end()
  }

  /** Goes on with another root secret: what is idle is closed, what is busy is closed when it comes back. */
  forget(spec: SystemSpec): Promise<void> {
    this.#preferred = 0
    return this.#pool.forget(spec)
  }

  /** Closes everything; calls that are under way fail. */
  close(): Promise<void> {
    return this.#pool.close()
  }

  /** Tries the root secrets in order, the one that worked last first. */
  async #login(signal: AbortSignal): Promise<Wire> {
    const { address, rootAccount, rootSecrets, timeoutMs } = this.spec
    const order = [...rootSecrets.keys()].sort((a, b) => Number(b === this.#preferred) - Number(a === this.#preferred))
    let refused: unknown = new RekeyError('target_not_authorised', 'No root secret is known for this PostgreSQL.')
    for (const index of order) {
      const secret = rootSecrets[index]
      if (secret === undefined) continue
      const wire = new Wire(address, rootAccount, secret, timeoutMs)
      try {
        await wire.connect(signal)
        await this.#introduce(wire, signal)
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

  /** Before anything is done there: which server is it, and what time has it? */
  async #introduce(wire: Wire, signal: AbortSignal): Promise<void> {
    const { name, rootAccount, server } = this.spec
    const [time] = await wire.script<Clock>(signal, `${PREPARE}; ${TIME}`, CLOCK)
    if (time === undefined || !/^\d{1,18}$/.test(time.now)) throw notPostgres()
    if (time.verifiers) this.#readers.add(wire)
    this.#clocks.keep(wire, time.now)
    const [row] = await wire.script<{ id: string }>(signal, SYSTEM_IDENTIFIER, IDENTIFIED).catch((error: unknown) => {
      if (sqlState(error) === '42501') return []
      throw error
    })
    const identity = { facts: factsOfSystem(row?.id), run: null, account: rootAccount }
    const difference = differenceOf(server, identity, 0)
    if (difference !== null) throw otherServer(name, difference)
    this.#identities.set(wire, identity)
  }
}

/** Whatever failed in the middle of a script, a new connection is cheaper than to find out. */
async function orDestroy<T>(wire: Wire, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    wire.destroy()
    throw error
  }
}

import { type Ctx, RekeyError } from '../../kernel/index.ts'
import type { SystemSpec } from '../contract.ts'
import { Pool } from '../pool.ts'
import { sqlState, targetError } from './faults.ts'
import { Wire } from './wire.ts'

/** Root connections to one target. */
export class Roots {
  readonly #pool: Pool<Wire>
  /** Index in `rootSecrets` of the one that worked last. */
  #preferred = 0

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

  /** Runs `use` on one connection within `timeoutMs`, waiting and login included. Rejects as `targetError` classes errors. */
  async run<T>(ctx: Ctx, use: (wire: Wire, signal: AbortSignal) => Promise<T>, what: 'install' | 'other' = 'other'): Promise<T> {
    try {
      return await this.#pool.run(ctx, (wire, signal) => orDestroy(wire, use(wire, signal)))
    } catch (error) {
      throw targetError(error, what)
    }
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

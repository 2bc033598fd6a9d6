import { RekeyError, systemClock } from '../kernel/index.ts'

/** What time a target had when each connection to it was opened, so that moments of ours can be told in its own time. */
export class TargetClocks<C extends object> {
  readonly #read = new WeakMap<C, { readonly micros: bigint; readonly atMs: number }>()

  /** Keeps the answer to a connection's question for the time, microseconds since 1970, as it comes. */
  keep(connection: C, micros: string | undefined): void {
    this.#read.set(connection, { micros: BigInt(micros ?? 0), atMs: systemClock.monotonicMs() })
  }

  /** A monotonic moment of ours by the target's clock, microseconds since 1970; by the way of the answer too early, never too late. */
  at(connection: C, ms: number): bigint {
    const read = this.#read.get(connection)
    if (read === undefined) throw new RekeyError('internal', 'A root connection was not introduced.')
    return read.micros + BigInt(Math.floor((ms - read.atMs) * 1000))
  }
}

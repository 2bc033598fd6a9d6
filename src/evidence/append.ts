import type { Ctx } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import type { EvidenceEvent } from './event.ts'
import { insertEvents } from './store.ts'
import { sealEvents } from './within.ts'

/**
 * Writes events in the transaction that does what they tell of: both happen or neither. One statement, whatever their number, in
 * the order given; no lock is taken and nobody is waited for. They count as published once `sequence` has signed them in.
 * Throws `bad_input` for an event of the wrong shape, `internal` for one that carries a `Secret`; nothing is written then.
 */
export async function append(tx: Tx, ctx: Ctx, events: readonly EvidenceEvent[]): Promise<void> {
  const rows = sealEvents(ctx, events)
  if (rows.length > 0) await insertEvents(tx, rows)
}

import { type Ctx, mapInTurns } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import type { EvidenceEvent } from './event.ts'
import { insertEvents } from './store.ts'
import { sealed } from './within.ts'

/** Rows of one statement: handing over this many keeps the process for some 20 ms. */
const ROWS = 2_000

/**
 * Writes events in the transaction that does what they tell of: both happen or neither. One statement (for thousands, one for each
 * 2,000), in the order given; no lock is taken and nobody is waited for. They count as published once `sequence` has signed them in.
 * The statement goes out with the commit: what the database refuses of it fails the transaction there. Throws `bad_input` for an event of
 * the wrong shape, `internal` for one that carries a `Secret`; nothing is written then.
 */
export async function append(tx: Tx, ctx: Ctx, events: readonly EvidenceEvent[]): Promise<void> {
  const rows = await mapInTurns(ctx.clock, events, (event) => sealed(ctx, event))
  const parts = Array.from({ length: Math.ceil(rows.length / ROWS) }, (_, part) => rows.slice(part * ROWS, (part + 1) * ROWS))
  await mapInTurns(ctx.clock, parts, (part) => insertEvents(tx, part))
}

import type { Ctx } from '../kernel/index.ts'
import { type EvidenceEvent, sealEvent } from './event.ts'
import type { NewEvent } from './store.ts'

/** One event ready to be written. */
export function sealed(ctx: Pick<Ctx, 'actor' | 'clock' | 'proof'>, event: EvidenceEvent): NewEvent {
  const { body, text } = sealEvent(ctx, event)
  return { log: body.log, subject: body.subject, at: body.at, text }
}

/** Events ready to be written, for a statement that changes state and appends their evidence in one go. Throws as `append` does. */
export function sealEvents(ctx: Pick<Ctx, 'actor' | 'clock' | 'proof'>, events: readonly EvidenceEvent[]): NewEvent[] {
  return events.map((event) => sealed(ctx, event))
}

/**
 * The text of an insert that takes events from `source`, a common table expression of the caller's statement with the columns
 * `log, subject, at, text, n` (as `sealEvents` gives them; `n` is their order). For hot paths: a state change that a condition
 * may refuse and its evidence are then one statement and one round trip instead of four.
 */
export function appendFrom(source: string): string {
  return `insert into evidence_event (log, subject, at, body) select log, subject, at, text from ${source} order by n`
}

import { countBatch, finishedOfBatch, isFinished } from '../credential/index.ts'
import { type Ctx, isCode, type Json, messageOf, sleep } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'

/** How often the rows are looked at. A listener per stream would hold a database connection each. */
const LOOK_EVERY_MS = 250
/** Proxies and clients take silence for death. */
const HEARTBEAT_MS = 15_000

/** One event as the HTML standard's section 9.2.5 writes it. JSON has no line breaks, so one `data` line carries it. */
export function eventText(event: string, data: Json | object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/**
 * The events of a batch until none of its rotations runs: `progress` whenever the counts changed, `rotation` once for each that ended
 * or is blocked, then `done`. Ends early when `ctx.signal` aborts. While the database is away only heartbeats come.
 */
export async function* batchEvents(ctx: Ctx, sql: Sql, batch: string): AsyncGenerator<string> {
  const told: string[] = []
  let before = ''
  let quietSinceMs = ctx.clock.monotonicMs()
  yield ': stream of a batch\n\n'
  while (!ctx.signal.aborted) {
    const seen = await look(ctx, sql, batch, told, before)
    for (const text of seen?.events ?? []) {
      yield text
      quietSinceMs = ctx.clock.monotonicMs()
    }
    if (seen?.done) return
    before = seen?.counts ?? before
    if (ctx.clock.monotonicMs() - quietSinceMs >= HEARTBEAT_MS) {
      yield ': \n\n'
      quietSinceMs = ctx.clock.monotonicMs()
    }
    await sleep(LOOK_EVERY_MS, ctx.signal)
  }
}

/** What is new since `before`; null if the database does not answer. Adds to `told`. */
async function look(ctx: Ctx, sql: Sql, batch: string, told: string[], before: string) {
  try {
    // Counts first: a rotation that ends between the two reads is told now and counted in the next round, never the other way round.
    const counts = await countBatch(sql, batch)
    const text = JSON.stringify(counts)
    if (text === before) return { events: [], counts: text, done: false }
    const events = [eventText('progress', { counts })]
    for (const view of await finishedOfBatch(sql, batch, told)) {
      told.push(view.rotation)
      events.push(eventText('rotation', view))
    }
    const done = counts.every(({ state }) => isFinished(state))
    if (done) events.push(eventText('done', {}))
    return { events, counts: text, done }
  } catch (error) {
    if (!isCode(error, 'unavailable')) throw error
    ctx.log.warn({ requestId: ctx.requestId, error: messageOf(error) }, 'an event stream waits for the database')
    return null
  }
}

import type { Sql } from '../store/index.ts'
import { type EventBody, isObject, type LogName } from './event.ts'

const AT_ONCE = 5000

/**
 * Every event of a log in the order in which it was written, numbered or not, for comparing tables with the record. Memory stays flat.
 * Bodies are taken as they are, and those that are not even like an event are left out: whether they are sound is what `fsck` tells.
 */
export async function* eachEvent(sql: Sql, log: LogName): AsyncGenerator<EventBody> {
  for (let after = 0; ; ) {
    const rows = await sql.query<{ id: number; body: string }>(
      'select id, body from evidence_event where log = $1 and id > $2 order by id limit $3',
      [log, after, AT_ONCE],
    )
    for (const row of rows) {
      const event = eventOf(row.body)
      if (event !== null) yield event
    }
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

/** The event in a body; null for text that is not even like one. */
export function eventOf(body: string): EventBody | null {
  try {
    const event = JSON.parse(body) as EventBody
    return typeof event.type === 'string' && isObject(event.links) && isObject(event.data) ? event : null
  } catch {
    return null
  }
}

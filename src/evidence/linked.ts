import type { Sql } from '../store/index.ts'
import type { EventBody, LogName } from './event.ts'
import { eventOf } from './read.ts'

/** Which events: of one subject of a log, joined to a thing by one of their links, of these types. */
export interface LinkedTo {
  readonly log: LogName
  readonly subject: string
  /** What the link is of, and the id: `{ what: 'rotation', id }`. */
  readonly link: { readonly what: string; readonly id: string }
  readonly types: readonly string[]
}

/**
 * The latest `limit` of these events, the oldest of them first; numbered or not. Found by their subject, whose events are all looked
 * through: for showing one thing, not for lists.
 */
export async function eventsLinkedTo(sql: Sql, { log, subject, link, types }: LinkedTo, limit: number): Promise<EventBody[]> {
  const { what, id } = link
  const rows = await sql.query<{ body: string }>(
    `select body from evidence_event
      where subject = $2 and log = $1 and position($3 in body) > 0
        and exists (select 1 from unnest($4::text[]) as t(type) where position('"type":"' || t.type || '"' in body) > 0)
      order by id desc limit $5`,
    [log, subject, `${JSON.stringify(what)}:${JSON.stringify(id)}`, types, limit],
  )
  // What was found by its text may say so elsewhere than in its type and its links.
  const events = rows.flatMap(({ body }) => eventOf(body) ?? [])
  return events.filter((event) => types.includes(event.type) && event.links[what] === id).reverse()
}

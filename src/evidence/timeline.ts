import { LIMITS } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import type { EventBody, LogName } from './event.ts'
import { wordsOf } from './report.words.ts'

/** An event as a timeline shows it. */
export interface TimelineEvent extends EventBody {
  /** Later ones are larger: a cursor, and nothing else. */
  readonly id: number
  /** What people read for its type. */
  readonly words: string
  /** Its place in the log; null until it is numbered, a moment after it was written. */
  readonly index: number | null
}

/** Whose events: of an identity by its id, or of a credential by its id and name. */
export interface TimelineOf {
  readonly log: LogName
  readonly identity: string
  /** Credentials whose events belong in it too. An event is found by their name, which may be another's by now, and kept by their id. */
  readonly credentials: readonly { readonly id: string; readonly name: string }[]
}

/** The expression of the index `evidence_event_identity`. */
const IDENTITY = `substring(body from '"links":\\{[^{}]*"identity":"([^"]*)"')`
const COLUMNS = 'id, leaf_index, body'

interface Row {
  readonly id: number
  readonly leaf_index: number | null
  readonly body: string
}

/**
 * Events of one log, the latest first: at most `limit` (1 to `LIMITS.pageMax` + 1) before the event `before`. What is not numbered yet is
 * among them: a timeline is for people, a bundle is for proof.
 */
export async function timeline(sql: Sql, of: TimelineOf, page: { before: number | null; limit: number }): Promise<TimelineEvent[]> {
  const limit = Math.max(1, Math.min(page.limit, LIMITS.pageMax + 1))
  const rows = await sql.query<Row>(
    `select distinct ${COLUMNS} from (
       (select ${COLUMNS} from evidence_event
         where log = $1 and ${IDENTITY} = $2 and ($5::bigint is null or id < $5) order by id desc limit $6)
       union all
       (select e.id, e.leaf_index, e.body from unnest($3::text[], $4::text[]) as c(name, id)
          join evidence_event e on e.subject = c.name and e.log = $1 and position('"credential":"' || c.id || '"' in e.body) > 0
         where $5::bigint is null or e.id < $5 order by e.id desc limit $6)
     ) found order by id desc limit $6`,
    [of.log, of.identity, of.credentials.map(({ name }) => name), of.credentials.map(({ id }) => id), page.before, limit],
  )
  return rows.map(({ id, leaf_index, body }) => {
    const event = JSON.parse(body) as EventBody
    return { ...event, id, index: leaf_index, words: wordsOf(event.type) }
  })
}

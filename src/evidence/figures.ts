import { timeText } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { LOGS, type LogName } from './event.ts'

/** How far one log is published. */
export interface LogFigures {
  readonly log: LogName
  /** Events that are written and not yet in the tree. */
  readonly unsequenced: number
  /** The newest signed tree head; null before the first. */
  readonly checkpoint: { readonly size: number; readonly at: string } | null
}

/** How far both logs are published, for status and metrics. */
export async function logFigures(sql: Sql): Promise<LogFigures[]> {
  const rows = await sql.query<{ log: LogName; unsequenced: number; size: number | null; at: Date | null }>(
    `select l.log, c.size, c.at,
            (select count(*)::int from evidence_event e where e.log = l.log and e.leaf_index is null) as unsequenced
       from unnest($1::text[]) as l(log)
       left join lateral (select size, at from evidence_checkpoint where log = l.log order by size desc limit 1) c on true`,
    [LOGS],
  )
  return rows.map(({ log, unsequenced, size, at }) => ({
    log,
    unsequenced,
    checkpoint: size === null || at === null ? null : { size, at: timeText(at) ?? String(at) },
  }))
}

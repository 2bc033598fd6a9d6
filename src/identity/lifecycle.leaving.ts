/** What ends or changes hands with an identity beside its credentials: for whoever plans its end. */
import { RekeyError } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { type HandoverRule, heirOf } from './lifecycle.handover.ts'
import { rowById } from './record.store.ts'
import { countSessions } from './session.store.ts'

/** As it is now: until somebody leaves, sessions begin and end, and managers and teams change. */
export interface Leaving {
  /** Living sessions. */
  readonly sessions: number
  /** Identities that it owns and that have not ended. */
  readonly owned: number
  /** Who would own them; null if there are none. */
  readonly heir: { readonly kind: 'person' | 'team'; readonly name: string; readonly rule: HandoverRule } | null
}

/** Throws `not_found`. Who may ask it is the caller's to know. */
export async function leavingOf(sql: Sql, id: string): Promise<Leaving> {
  const row = await rowById(sql, id)
  if (row === null) throw new RekeyError('not_found', `No such identity: ${id}`)
  const [found] = await sql.query<{ owned: number }>(
    `select count(*)::int as owned from identity where owner_key = $1 and status <> 'offboarded' and id <> $2`,
    [`person:${id}`, id],
  )
  const owned = found?.owned ?? 0
  const heir = owned === 0 ? null : await heirOf(sql, row)
  return {
    sessions: await countSessions(sql, id),
    owned,
    heir: heir && { kind: heir.owner.kind, name: heir.name, rule: heir.rule },
  }
}

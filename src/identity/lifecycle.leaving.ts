/** What ends or changes hands with an identity beside its credentials: for whoever plans its end. */
import { RekeyError } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { type HandoverRule, type Heir, heirOf } from './lifecycle.handover.ts'
import { rowById } from './record.store.ts'
import { countSessions } from './session.store.ts'
import { emptiedBy, heirOfTeam } from './team.emptied.ts'

/** As it is now: until somebody leaves, sessions begin and end, and managers and teams change. */
export interface Leaving {
  /** Living sessions. */
  readonly sessions: number
  /** Identities that it owns and that have not ended. */
  readonly owned: number
  /** Who would own them; null if there are none. */
  readonly heir: HeirView | null
  /** Teams in which nobody would be left who answers for what they own, how much that is, and who would own it. */
  readonly teams: readonly { readonly name: string; readonly owns: number; readonly heir: HeirView }[]
}

/** Who would own something, and by which rule. */
export interface HeirView {
  readonly kind: 'person' | 'team'
  readonly name: string
  readonly rule: HandoverRule
}

const viewOf = ({ owner, name, rule }: Heir): HeirView => ({ kind: owner.kind, name, rule })

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
  const teams: Leaving['teams'][number][] = []
  for (const team of row.kind === 'human' ? await emptiedBy(sql, id) : []) {
    teams.push({ name: team.name, owns: await livingOwnedBy(sql, team.id), heir: viewOf(await heirOfTeam(sql, team.id, row)) })
  }
  return { sessions: await countSessions(sql, id), owned, heir: heir && viewOf(heir), teams }
}

async function livingOwnedBy(sql: Sql, team: string): Promise<number> {
  const [found] = await sql.query<{ count: number }>(
    "select count(*)::int as count from identity where owner_team_id = $1 and status <> 'offboarded'",
    [team],
  )
  return found?.count ?? 0
}

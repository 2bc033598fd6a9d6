/** Teams that should answer for something, and in which there is nobody who could. */
import type { Sql } from '../store/index.ts'
import { SECURITY_CONTACT } from './team.model.ts'
import { hasPeople } from './team.store.ts'

/** A team without an active person, through any nesting, and what waits for it. */
export interface EmptyTeam {
  readonly id: string
  readonly name: string
  /** Whether it is the security contact, to whom everything comes that nobody else answers for. */
  readonly contact: boolean
  /** Identities that it owns and that are not gone. */
  readonly owns: number
  /** Actions whose rule asks it. */
  readonly rules: readonly string[]
  /** When it was changed last, as who is in it. */
  readonly since: Date
}

/**
 * A page of empty teams that own something or that a rule asks, and the security contact if it is empty; by id, with the id of the last
 * that was looked at (null at the end).
 */
export async function emptyTeams(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: EmptyTeam[]; readonly last: string | null }> {
  const found = await sql.query<EmptyTeam>(
    `with asked as (
       select f ->> 'team' as team, array_agg(distinct r.action order by r.action) as rules from approval_rule r
         cross join jsonb_array_elements(case when jsonb_typeof(r.factors) = 'array' then r.factors else '[]' end) f group by 1)
     select t.id, t.name, t.id = $1 as contact, o.owns, coalesce(a.rules, '{}') as rules, t.changed_at as since
       from team t left join asked a on a.team = t.id::text
       cross join lateral (select count(*)::int as owns from identity i where i.owner_team_id = t.id and i.status <> 'offboarded') o
      where ($2::uuid is null or t.id > $2) and (t.id = $1 or a.team is not null or o.owns > 0) and not ${hasPeople('t.id', 'null::uuid')}
      order by t.id limit $3`,
    [SECURITY_CONTACT, after, limit],
  )
  return { found, last: found.length < limit ? null : (found.at(-1)?.id ?? null) }
}

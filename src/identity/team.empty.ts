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
  /** Roles that it holds, if a directory deleted its group; else none are looked up. */
  readonly roles: readonly string[]
  /** The directory that deleted its group; null: none did. */
  readonly leftBy: string | null
  /** True: only a rule still names it; it has no name then but its id. */
  readonly gone: boolean
  /** When it was changed last, as who is in it; of one that is gone, when a rule that asks it was. */
  readonly since: Date
}

/**
 * A page of empty teams that own something, that a rule asks or whose group a directory deleted, of teams that are gone and that a rule
 * still
 * asks, and the security contact if it is empty; by id, with the id of the last that was looked at (null at the end).
 */
export async function emptyTeams(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: EmptyTeam[]; readonly last: string | null }> {
  const found = await sql.query<EmptyTeam>(
    `with asked as (
       select f ->> 'team' as team, array_agg(distinct r.action order by r.action) as rules, max(r.changed_at) as at from approval_rule r
         cross join jsonb_array_elements(case when jsonb_typeof(r.factors) = 'array' then r.factors else '[]' end) f group by 1),
     empty as (
       select t.id, t.name, t.id = $1 as contact, o.owns, coalesce(a.rules, '{}') as rules, t.left_by as "leftBy", false as gone,
              case when t.left_by is null then '{}'
                else array(select b.role from role_binding b where b.subject_kind = 'team' and b.subject_id = t.id order by 1) end as roles,
              t.changed_at as since
         from team t left join asked a on a.team = t.id::text
         cross join lateral (select count(*)::int as owns from identity i where i.owner_team_id = t.id and i.status <> 'offboarded') o
        where ($2::uuid is null or t.id > $2) and (t.id = $1 or a.team is not null or o.owns > 0 or t.left_by is not null)
          and not ${hasPeople('t.id', 'null::uuid')}
        order by t.id limit $3),
     gone as (
       select a.team::uuid as id, a.team as name, false as contact, 0 as owns, a.rules, null as "leftBy", true as gone,
              '{}'::text[] as roles, a.at as since
         from asked a
        where a.team ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and not exists (select from team t where t.id::text = a.team))
     select * from empty union all select * from gone where $2::uuid is null or id > $2 order by id limit $3`,
    [SECURITY_CONTACT, after, limit],
  )
  return { found, last: found.length < limit ? null : (found.at(-1)?.id ?? null) }
}

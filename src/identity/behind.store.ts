import type { Sql } from '../store/index.ts'
import { GOOD } from './token.store.ts'

/**
 * Everybody who stands behind these, themselves among them, through any number of steps. Ids are of identities, API tokens, directory
 * providers or teams, which have no id in common; a step goes
 * - from a token to whose it is, for whom it acts and who made it,
 * - from a directory provider to who made its good tokens,
 * - from a program to the person who answers for it, and to who mapped a rule that lets it in or made the issuer of that rule,
 * - from a team to its members and to the teams in it; with `crews` from a program to the team that answers for it.
 * Nothing leads on from a person. Only identities come back, programs with the team that answers for them (`crew`).
 */
export async function standBehindIds(sql: Sql, ids: readonly string[], crews = false): Promise<Behind[]> {
  if (ids.length === 0) return []
  return sql.query(
    `with recursive reach(id) as (
       select unnest($1::uuid[])
       union
       select x.id from reach r cross join lateral (
         select unnest(array[t.identity_id, t.acts_for_id] || t.makers) as id from api_token t where t.id = r.id
         union all
         select unnest(t.makers) from scim_token t where t.provider_id = r.id and ${GOOD}
         union all
         select unnest(array[p.owner_identity_id, case when $2 then p.owner_team_id end]) from identity p
          where p.id = r.id and p.kind <> 'human'
         union all
         select unnest(u.makers || q.makers) from identity p
           join issuer_rule u on u.identity_id = p.id join issuer q on q.id = u.issuer_id
          where p.id = r.id and p.kind <> 'human'
         union all
         select m.identity_id from team_member m where m.team_id = r.id
         union all
         select n.child_id from team_nesting n where n.parent_id = r.id) x
        where x.id is not null)
     select r.id, case when i.kind <> 'human' then i.owner_team_id end as crew from reach r join identity i on i.id = r.id order by 1`,
    [ids, crews],
  )
}

export interface Behind {
  readonly id: string
  /** The team that answers for a program; null for people, and where a person does. */
  readonly crew: string | null
}

/** Active people of each of these teams, nested ones included, at most `limit` of each. */
export async function activePeopleOf(
  sql: Sql,
  teams: readonly string[],
  limit: number,
): Promise<{ readonly team: string; readonly people: readonly string[] }[]> {
  return sql.query(
    `select t.id as team, array(
       with recursive below(id) as (select t.id union select n.child_id from team_nesting n join below b on n.parent_id = b.id)
       select distinct m.identity_id from below b join team_member m on m.team_id = b.id
         join identity p on p.id = m.identity_id and p.kind = 'human' and p.status = 'active' order by 1 limit $2) as people
       from unnest($1::uuid[]) t(id)`,
    [teams, limit],
  )
}

import type { Sql } from '../store/index.ts'
import { GOOD } from './token.store.ts'

/**
 * Everybody who stands behind these, themselves among them, through any number of steps. Ids are of identities, API tokens, directory
 * providers or teams, which have no id in common; a step goes
 * - from a token to whose it is, for whom it acts and who made it,
 * - from a directory provider to who made its good tokens,
 * - from a program to the person who answers for it, and to who mapped a rule that lets it in or made the issuer of that rule,
 * - from a team to its members and to the teams in it; with `crews` from a program to the team that answers for it.
 * Nothing leads on from a person. Only ids of identities come back.
 */
export async function standBehindIds(sql: Sql, ids: readonly string[], crews = false): Promise<string[]> {
  if (ids.length === 0) return []
  const found = await sql.query<{ id: string }>(
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
     select r.id from reach r join identity i on i.id = r.id order by 1`,
    [ids, crews],
  )
  return found.map(({ id }) => id)
}

import type { Sql } from '../store/index.ts'

/**
 * Ids of identities that stand behind any of these: the identities themselves, everybody in the teams through any nesting, whose the
 * tokens are, whom they act for and who made them; and of the programs among them the
 * person who answers for it, or the people of the team that does.
 */
export async function behindAll(
  sql: Sql,
  {
    identities,
    teams,
    tokens,
  }: { readonly identities: readonly string[]; readonly teams: readonly string[]; readonly tokens: readonly string[] },
): Promise<string[]> {
  const found = await sql.query<{ id: string }>(
    `with recursive below(id) as (
       select unnest($2::uuid[])
       union select n.child_id from team_nesting n join below b on n.parent_id = b.id),
     meant(id) as (
       select unnest($1::uuid[])
       union select m.identity_id from below b join team_member m on m.team_id = b.id
       union select x.id from api_token t
              cross join lateral (select unnest(t.makers) union select t.identity_id union select t.acts_for_id) x(id)
              where t.id = any($3::uuid[]) and x.id is not null),
     program as (select i.* from meant m join identity i on i.id = m.id and i.kind <> 'human'),
     crew(id) as (
       select owner_team_id from program where owner_team_id is not null
       union select n.child_id from team_nesting n join crew c on n.parent_id = c.id)
     select id from meant
     union select owner_identity_id from program where owner_identity_id is not null
     union select m.identity_id from crew c join team_member m on m.team_id = c.id`,
    [identities, teams, tokens],
  )
  return found.map(({ id }) => id)
}

import type { Sql, Tx } from '../store/index.ts'
import { GOOD } from './token.store.ts'

/** For so long whoever answered for a program counts as standing behind it at least, days; its tokens can make that longer. */
export const FORMER_DAYS = 30

/**
 * SQL that is true while the former owner `f` counts: for some time, and as long as they may be able to ask as the program. They are while
 * a rule lets it in that is as old, or a token is good that it has or has made and that is as old; one that the program gave itself is as
 * old as the one by which it did.
 */
const STILL = `(f.until > now() - make_interval(days => ${FORMER_DAYS})
  or exists (select from issuer_rule u where u.identity_id = f.identity_id and u.created_at <= f.until)
  or exists (
    with recursive line(id, created_by, created_at) as (
      select t.id, t.created_by, t.created_at from api_token t
       where (t.identity_id = f.identity_id or t.makers @> array[f.identity_id]) and ${GOOD}
      union
      select o.id, o.created_by, o.created_at from line l join api_token o
        on o.id = case when l.created_by ~ '^token:[0-9a-f-]{36}$' then substr(l.created_by, 7)::uuid end
       where o.identity_id = f.identity_id)
    select from line l
     where l.created_at <= f.until or l.created_by ~ ('^(workload|machine|agent):' || f.identity_id || '( |$)')))`

/**
 * Everybody who stands behind these, themselves among them, through any number of steps. Ids are of identities, API tokens, directory
 * providers or teams, which have no id in common; a step goes
 * - from a token to whose it is, for whom it acts and who made it,
 * - from a directory provider to who made its good tokens,
 * - from a program to the person who answers for it, to who did so and may still know its token (`STILL`), and to who mapped a rule that
 *   lets it in or made the issuer of that rule,
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
         select f.person_id from former_owner f where f.identity_id = r.id and ${STILL}
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

export interface OwnedProgram {
  readonly id: string
  readonly name: string
  /** Who answers for it: a person, or a team. */
  readonly person: string | null
  readonly team: string | null
}

/** Which programs: by their own ids, by who answers for them, or those of teams and of all teams that these are nested in. */
export type Which = { readonly ids: readonly string[] } | { readonly owner: string } | { readonly crews: readonly string[] }

/** Programs that somebody answers for, by id. */
export async function ownedPrograms(sql: Sql, which: Which): Promise<OwnedProgram[]> {
  const select = 'select i.id, i.name, i.owner_identity_id as person, i.owner_team_id as team from identity i'
  const owned = `i.kind <> 'human' and (i.owner_identity_id is not null or i.owner_team_id is not null) order by i.id`
  if ('ids' in which) return sql.query(`${select} where i.id = any($1::uuid[]) and ${owned}`, [which.ids])
  if ('owner' in which) {
    return sql.query(`${select} where i.owner_key in ('person:' || $1::uuid, 'team:' || $1::uuid) and ${owned}`, [which.owner])
  }
  return sql.query(
    `with recursive above(id) as (
       select unnest($1::uuid[]) union select n.parent_id from above a join team_nesting n on n.child_id = a.id)
     ${select} where i.owner_team_id in (select id from above) and ${owned}`,
    [which.crews],
  )
}

/** Ids of the people in each of these teams, active or not, nested teams included. */
export async function peopleIn(sql: Sql, teams: readonly string[]): Promise<Map<string, readonly string[]>> {
  if (teams.length === 0) return new Map()
  const found = await sql.query<{ team: string; people: string[] }>(
    `select t.id as team, array(
       with recursive below(id) as (select t.id union select n.child_id from team_nesting n join below b on n.parent_id = b.id)
       select distinct m.identity_id from below b join team_member m on m.team_id = b.id
         join identity p on p.id = m.identity_id and p.kind = 'human' order by 1) as people
       from unnest($1::uuid[]) t(id)`,
    [teams],
  )
  return new Map(found.map(({ team, people }) => [team, people]))
}

/** Writes down until when they did at least: now, by the clock of the database, which dates tokens too. */
export async function putFormer(tx: Tx, former: readonly { readonly identity: string; readonly person: string }[]): Promise<Date> {
  const [row] = await tx.query<{ at: Date }>('select clock_timestamp()::timestamptz(3) as at')
  if (row === undefined) throw new Error('the database does not know what time it is')
  await tx.query(
    `insert into former_owner (identity_id, person_id, until)
     select f.identity, f.person, $2 from jsonb_to_recordset($1::jsonb) as f(identity uuid, person uuid) order by 1, 2
     on conflict (identity_id, person_id) do update set until = excluded.until`,
    [JSON.stringify(former), row.at],
  )
  return row.at
}

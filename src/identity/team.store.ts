import type { Sql, Tx } from '../store/index.ts'
import type { Members, Team } from './team.model.ts'

const TEAM = `id, name, tenancy, source, external_id as "externalId", created_at as "createdAt", changed_at as "changedAt", revision`
const NESTING_LOCK = 7_395_011

/** Nestings are added by one transaction at a time: two halves of a circle must see one another. Taken after the record's lock. */
export async function lockNesting(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [NESTING_LOCK])
}

export async function teamById(sql: Sql, id: string): Promise<Team | null> {
  const [row] = await sql.query<Team>(`select ${TEAM} from team where id = $1`, [id])
  return row ?? null
}

export async function lockTeam(tx: Tx, id: string): Promise<Team | null> {
  const [row] = await tx.query<Team>(`select ${TEAM} from team where id = $1 for no key update`, [id])
  return row ?? null
}

export async function teamByExternal(sql: Sql, source: string, externalId: string): Promise<Team | null> {
  const [row] = await sql.query<Team>(`select ${TEAM} from team where source = $1 and external_id = $2`, [source, externalId])
  return row ?? null
}

/** Of those that many sources or people called so, the first 500. */
export async function teamsByName(sql: Sql, name: string): Promise<Team[]> {
  return sql.query(`select ${TEAM} from team where name = $1 order by id limit 500`, [name])
}

export async function teamsByIds(sql: Sql, ids: readonly string[]): Promise<Team[]> {
  return sql.query(`select ${TEAM} from team where id = any($1::uuid[])`, [ids])
}

/** By id; `after` is the id of the last one seen. */
export async function listTeams(
  sql: Sql,
  filter: { readonly tenancy?: string; readonly source?: string; readonly name?: string; readonly after?: string; readonly limit: number },
): Promise<Team[]> {
  return sql.query(
    `select ${TEAM} from team
      where ($1::uuid is null or id > $1) and ($2::text is null or tenancy = $2) and ($3::text is null or source = $3)
        and ($4::text is null or name = $4) order by id limit $5`,
    [filter.after ?? null, filter.tenancy ?? null, filter.source ?? null, filter.name ?? null, filter.limit],
  )
}

/** What is around a team: nested teams, those that it is nested in, how many people are in it and what it owns. */
export async function around(sql: Sql, id: string) {
  type Named = { id: string; name: string }
  const nested = 'select t.id, t.name from team_nesting n join team t on t.id = n.child_id where n.parent_id = $1 order by t.name, t.id'
  const parents = 'select t.id, t.name from team_nesting n join team t on t.id = n.parent_id where n.child_id = $1 order by t.name, t.id'
  return {
    people: (await peopleBelow(sql, id)).length,
    nested: await sql.query<Named>(nested, [id]),
    parents: await sql.query<Named>(parents, [id]),
    owns: await ownedBy(sql, id),
  }
}

/** How many identities it answers for. */
export async function ownedBy(sql: Sql, id: string): Promise<number> {
  const [owned] = await sql.query<{ count: number }>('select count(*)::int as count from identity where owner_team_id = $1', [id])
  return owned?.count ?? 0
}

/** False if the source has given this external id to another team. */
export async function insertTeam(
  tx: Tx,
  team: { id: string; name: string; tenancy: string; source: string; externalId: string | null },
): Promise<boolean> {
  const { id, name, tenancy, source, externalId } = team
  const done = await tx.query(
    `insert into team (id, name, tenancy, source, external_id) values ($1, $2, $3, $4, $5)
     on conflict (source, external_id) do nothing returning id`,
    [id, name, tenancy, source, externalId],
  )
  return done.length === 1
}

export async function renameTeam(tx: Tx, id: string, name: string): Promise<void> {
  await tx.query('update team set name = $2, revision = revision + 1, changed_at = now() where id = $1', [id, name])
}

export async function deleteTeam(tx: Tx, id: string): Promise<void> {
  await tx.query('delete from team where id = $1', [id])
}

/** Empties it, takes it out of every team, and makes it one that is kept by hand. */
export async function leaveTeam(tx: Tx, id: string, leftBy: string): Promise<void> {
  await tx.query('delete from team_member where team_id = $1', [id])
  await tx.query('delete from team_nesting where parent_id = $1 or child_id = $1', [id])
  await tx.query(
    `update team set source = 'api', external_id = null, left_by = $2, revision = revision + 1, changed_at = now() where id = $1`,
    [id, leftBy],
  )
}

export async function touchTeam(tx: Tx, id: string): Promise<void> {
  await tx.query('update team set revision = revision + 1, changed_at = now() where id = $1', [id])
}

/** Direct members. */
export async function membersOf(sql: Sql, id: string): Promise<Required<Members>> {
  const identities = await sql.query<{ id: string }>('select identity_id as id from team_member where team_id = $1', [id])
  const teams = await sql.query<{ id: string }>('select child_id as id from team_nesting where parent_id = $1', [id])
  return { identities: identities.map((row) => row.id), teams: teams.map((row) => row.id) }
}

/** Those that exist, with or without being members before. */
export async function knownIdentities(sql: Sql, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  return (await sql.query<{ id: string }>('select id from identity where id = any($1::uuid[])', [ids])).map((row) => row.id)
}

/** Resolves with those that were not members before. */
export async function addMembers(tx: Tx, id: string, { identities, teams }: Required<Members>): Promise<Required<Members>> {
  type Added = { id: string }
  const people =
    identities.length === 0
      ? []
      : await tx.query<Added>(
          `insert into team_member (team_id, identity_id, identity_name)
           select $1, i.id, i.name from identity i where i.id = any($2::uuid[]) on conflict do nothing returning identity_id as id`,
          [id, identities],
        )
  const nested =
    teams.length === 0
      ? []
      : await tx.query<Added>(
          `insert into team_nesting (parent_id, child_id) select $1, c from unnest($2::uuid[]) c on conflict do nothing
           returning child_id as id`,
          [id, teams],
        )
  return { identities: people.map((row) => row.id), teams: nested.map((row) => row.id) }
}

/** Resolves with those that were members before. */
export async function dropMembers(tx: Tx, id: string, { identities, teams }: Required<Members>): Promise<Required<Members>> {
  type Gone = { id: string }
  const people =
    identities.length === 0
      ? []
      : await tx.query<Gone>('delete from team_member where team_id = $1 and identity_id = any($2::uuid[]) returning identity_id as id', [
          id,
          identities,
        ])
  const nested =
    teams.length === 0
      ? []
      : await tx.query<Gone>('delete from team_nesting where parent_id = $1 and child_id = any($2::uuid[]) returning child_id as id', [
          id,
          teams,
        ])
  return { identities: people.map((row) => row.id), teams: nested.map((row) => row.id) }
}

/** True if nesting these teams in `parent` would close a circle: it is one of them, or lies below one. */
export async function wouldCircle(tx: Tx, parent: string, children: readonly string[]): Promise<boolean> {
  const found = await tx.query(
    `with recursive below(id) as (
       select unnest($2::uuid[])
       union
       select n.child_id from team_nesting n join below b on n.parent_id = b.id)
     select id from below where id = $1`,
    [parent, children],
  )
  return found.length > 0
}

/** The teams of an identity, through any depth of nesting, with their names, by name. */
export async function teamsAbove(sql: Sql, identityId: string): Promise<{ id: string; name: string }[]> {
  return sql.query(
    `with recursive above(id) as (
       select team_id from team_member where identity_id = $1
       union
       select n.parent_id from team_nesting n join above a on n.child_id = a.id)
     select t.id, t.name from above a join team t on t.id = a.id order by t.name, t.id`,
    [identityId],
  )
}

/** Of these teams and those around them, which own somebody or something that has not ended; the security contact left out. */
export async function owningAround(sql: Sql, ids: readonly string[], contact: string): Promise<{ id: string; name: string }[]> {
  if (ids.length === 0) return []
  return sql.query(
    `with recursive above(id) as (
       select unnest($1::uuid[])
       union
       select n.parent_id from team_nesting n join above a on n.child_id = a.id)
     select t.id, t.name from above a join team t on t.id = a.id
      where t.id <> $2 and exists (select 1 from identity i where i.owner_team_id = t.id and i.status <> 'offboarded') order by t.id`,
    [ids, contact],
  )
}

/** Active people of a team, through any depth of nesting, by name. */
export async function peopleBelow(sql: Sql, teamId: string): Promise<{ id: string; name: string }[]> {
  return sql.query(
    `with recursive below(id) as (
       select $1::uuid
       union
       select n.child_id from team_nesting n join below b on n.parent_id = b.id)
     select distinct p.name, p.id from below b join team_member m on m.team_id = b.id join identity p on p.id = m.identity_id
      where p.kind = 'human' and p.status = 'active' order by p.name`,
    [teamId],
  )
}

/** SQL that is true if the team `team` has an active person other than `except`, through any depth of nesting; its own are asked first. */
export function hasPeople(team: string, except: string): string {
  // Each member looked up by key, never all people first: over tables without statistics a join did that (200 ms for 100 teams).
  const person = `select 1 from team_member m
     where m.team_id = X and m.identity_id is distinct from ${except}
       and (select p.kind = 'human' and p.status = 'active' from identity p where p.id = m.identity_id)`
  return `(exists (${person.replace('X', team)}) or exists (
    with recursive below(id) as (
      select ${team}
      union
      select n.child_id from team_nesting n join below b on n.parent_id = b.id)
    select 1 from below b where exists (${person.replace('X', 'b.id')})))`
}

/** Which of these teams have an active person. */
export async function teamsWithPeople(sql: Sql, ids: readonly string[], except: string | null = null): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await sql.query<{ id: string }>(`select t.id from unnest($1::uuid[]) t(id) where ${hasPeople('t.id', '$2::uuid')}`, [
    ids,
    except,
  ])
  return new Set(rows.map((row) => row.id))
}

/** The nearest team of an identity that has an active person besides it; the oldest of several. */
export async function teamThatRemains(tx: Sql, identityId: string): Promise<{ id: string; name: string } | null> {
  return nearest(tx, 'select team_id, 0 from team_member where identity_id = $1', identityId, '$1::uuid')
}

/** The nearest team around a team that has an active person; the oldest of several. */
export async function parentThatRemains(
  tx: Sql,
  teamId: string,
  except: string | null = null,
): Promise<{ id: string; name: string } | null> {
  return nearest(tx, 'select parent_id, 0 from team_nesting where child_id = $1', teamId, '$2::uuid', [except])
}

async function nearest(
  tx: Sql,
  start: string,
  id: string,
  except: string,
  more: readonly (string | null)[] = [],
): Promise<{ id: string; name: string } | null> {
  const [row] = await tx.query<{ id: string; name: string }>(
    `with recursive above(id, depth) as (
       ${start}
       union
       select n.parent_id, a.depth + 1 from team_nesting n join above a on n.child_id = a.id where a.depth < 100)
     select t.id, t.name from above a join team t on t.id = a.id where ${hasPeople('t.id', except)} order by a.depth, t.id limit 1`,
    [id, ...more],
  )
  return row ?? null
}

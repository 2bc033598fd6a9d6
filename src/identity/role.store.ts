import { type Ctx, newId } from '../kernel/index.ts'
import type { Holding } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { canLogIn, connectedTo } from './person.store.ts'
import type { SubjectKind } from './role.model.ts'
import { GOOD } from './token.store.ts'

export interface NewBinding {
  readonly role: string
  readonly kind: SubjectKind
  readonly id: string
  readonly reason: string
}

/** Resolves with the binding's id; null if the subject has the role already. */
export async function addBinding(tx: Tx, ctx: Ctx, { role, kind, id, reason }: NewBinding): Promise<string | null> {
  const [row] = await tx.query<{ id: string }>(
    `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, $3, $4, $5, $6)
     on conflict (subject_kind, subject_id, role) do nothing returning id`,
    [newId(ctx.clock.now().getTime()), role, kind, id, ctx.actor, reason],
  )
  return row?.id ?? null
}

/** Roles, and what nothing but a directory provider's word gives: nothing for whom somebody forced to hold both hands. */
export interface Held {
  readonly roles: readonly string[]
  readonly provided: readonly string[]
  readonly providedTeams: readonly string[]
  /** What the same human holds; empty where no directory gives anything. */
  readonly human: readonly Holding[]
}

/** True of a team whose members a directory provider gives. */
export const PROVIDED = "starts_with(t.source, 'scim:')"

/** The role that the token of a directory provider holds; nothing else holds it, and it stands in no binding. */
export const SCIM_ROLE = 'scim-provider'

/** Roles of one identity, its teams and one token together, each once, by name. */
export async function rolesHeld(sql: Sql, identity: string | null, teams: readonly string[], token: string | null): Promise<Held> {
  const rows = await sql.query<{ kind: 'role' | 'team'; id: string; own: boolean }>(
    `with recursive by_hand(id) as (
       select m.team_id from team_member m join team t on t.id = m.team_id where m.identity_id = $1::uuid and not ${PROVIDED}
       union
       select n.parent_id from team_nesting n join by_hand h on n.child_id = h.id join team t on t.id = n.parent_id where not ${PROVIDED})
     select 'role' as kind, role collate "C" as id, bool_or(subject_kind <> 'team' or subject_id in (select id from by_hand)) as own
       from role_binding
      where (subject_kind = 'identity' and subject_id = $1::uuid) or (subject_kind = 'team' and subject_id = any($2::uuid[]))
         or (subject_kind = 'token' and subject_id = $3::uuid) group by 2
     union all
     select 'team', x::text collate "C", false from unnest($2::uuid[]) x where $1::uuid is not null and x not in (select id from by_hand)
      order by 1, 2`,
    [identity, teams, token],
  )
  const given = (kind: 'role' | 'team') => rows.flatMap((one) => (one.kind === kind && !one.own ? [one.id] : []))
  const roles = rows.flatMap(({ kind, id }) => (kind === 'role' ? [id] : []))
  const [provided, providedTeams] = [given('role'), given('team')]
  // Most people of a directory are in groups that no role is bound to and no policy names: nothing is looked up for them.
  const matters = provided.length > 0 || (providedTeams.length > 0 && (await policiesNameTeams(sql)))
  if (identity === null || !matters) return { roles, provided, providedTeams, human: [] }
  const human = await humanHolds(sql, await connectedTo(sql, [identity]))
  return human === null ? { roles, provided: [], providedTeams: [], human: [] } : { roles, provided, providedTeams, human }
}

/** Whether the policies in force may name a team: the word cannot be written otherwise in one that does. */
async function policiesNameTeams(sql: Sql): Promise<boolean> {
  return (await sql.query("select 1 from policy_set where state = 'active' and files::text like '%Team%'")).length > 0
}

/** What one human holds by all identities and good tokens, also of directories; null if somebody forced them to hold both hands. */
async function humanHolds(sql: Sql, selves: readonly string[]): Promise<Holding[] | null> {
  const found = await sql.query<Holding & { readonly forced: boolean }>(
    `with recursive self(id) as (select i.id from identity i where i.id = any($1::uuid[]) and i.status <> 'offboarded'),
       around(team, own) as (
         select m.team_id, not ${PROVIDED} from self s join team_member m on m.identity_id = s.id join team t on t.id = m.team_id
         union select n.parent_id, a.own and not ${PROVIDED} from around a join team_nesting n on n.child_id = a.team
           join team t on t.id = n.parent_id),
       good(id) as (select t.id from api_token t where ${GOOD} and (t.identity_id = any($1::uuid[]) or t.acts_for_id = any($1::uuid[])
                      or t.makers && $1::uuid[])),
       held(kind, id, own) as (
         select 'identity', id, true from self union all select 'token', id, true from good union all select 'team', team, own from around)
     select x.*, exists (select 1 from both_hands f where f.identity_id = any($1::uuid[])) as forced from (
       select case kind when 'team' then 'team' else 'one' end as kind, id::text as id, bool_or(own) as own from held group by 1, 2
       union all
       select 'role', b.role, bool_or(h.own) from held h join role_binding b on b.subject_kind = h.kind and b.subject_id = h.id
        group by 2
       union all
       select 'role', '${SCIM_ROLE}', true where exists (select from scim_token t where t.makers && $1::uuid[] and ${GOOD})) x`,
    [selves],
  )
  return found.some(({ forced }) => forced) ? null : found.map(({ kind, id, own }) => ({ kind, id, own }))
}

export interface BindingRow {
  readonly id: string
  readonly role: string
  readonly kind: SubjectKind
  readonly subject: string
  readonly name: string | null
  readonly created_at: Date
  readonly created_by: string
  readonly reason: string
}

const BINDING = `b.id, b.role, b.subject_kind as kind, b.subject_id as subject, coalesce(i.name, t.name) as name,
    b.created_at, b.created_by, b.reason
  from role_binding b
  left join identity i on b.subject_kind = 'identity' and i.id = b.subject_id
  left join api_token t on b.subject_kind = 'token' and t.id = b.subject_id`

export async function listBindings(sql: Sql, after: string | null, limit: number): Promise<BindingRow[]> {
  return sql.query(`select ${BINDING} where ($1::uuid is null or b.id > $1) order by b.id limit $2`, [after, limit])
}

export async function removeBinding(tx: Tx, id: string): Promise<BindingRow | null> {
  const [row] = await tx.query<BindingRow>(`select ${BINDING} where b.id = $1 for update of b`, [id])
  if (row !== undefined) await tx.query('delete from role_binding where id = $1', [id])
  return row ?? null
}

export async function rolesBoundTo(sql: Sql, kind: SubjectKind, id: string): Promise<string[]> {
  const found = await sql.query<{ role: string }>('select role from role_binding where subject_kind = $1 and subject_id = $2', [kind, id])
  return found.map(({ role }) => role)
}

/** Id of what a role is to be bound to: by name or id, where there is exactly one; a revoked token is none. */
export async function subjectsNamed(sql: Sql, kind: 'identity' | 'token', name: string): Promise<string[]> {
  const text =
    kind === 'identity'
      ? 'select id from identity where name = $1 or id::text = $1'
      : 'select id from api_token where (name = $1 or id::text = $1) and revoked_at is null and (expires_at is null or expires_at > now())'
  return (await sql.query<{ id: string }>(text, [name])).map(({ id }) => id)
}

/** Roles bound to a team or to one that it is nested in, through any depth, by name; and which teams those are. */
export async function rolesAround(sql: Sql, team: string): Promise<{ readonly roles: string[]; readonly teams: string[] }> {
  const rows = await sql.query<{ id: string; roles: string[] }>(
    `with recursive above(id) as (
       select $1::uuid
       union
       select n.parent_id from team_nesting n join above a on n.child_id = a.id)
     select a.id, array(select b.role from role_binding b where b.subject_kind = 'team' and b.subject_id = a.id) as roles from above a`,
    [team],
  )
  return { roles: [...new Set(rows.flatMap(({ roles }) => roles))].sort(), teams: rows.map(({ id }) => id) }
}

/** Whether something is bound to this identity, to a team that it is in, or to a token that is its own or acts for it. */
export async function holdsRoles(sql: Sql, identity: string): Promise<boolean> {
  const rows = await sql.query(
    `with recursive above(id) as (
       select team_id from team_member where identity_id = $1::uuid
       union
       select n.parent_id from team_nesting n join above a on n.child_id = a.id)
     select 1 from role_binding where subject_id = $1::uuid or subject_id in (select id from above)
        or subject_id in (select id from api_token
                           where identity_id = $1::uuid or acts_for_id = $1::uuid or $1::uuid = any(makers)) limit 1`,
    [identity],
  )
  return rows.length > 0
}

export interface BoundSubject {
  readonly kind: SubjectKind
  readonly id: string
  /** Of an identity: what it is. */
  readonly what: 'human' | 'workload' | 'machine' | 'agent' | null
  readonly roles: readonly string[]
  /** Who acts with them, each of whom can prove themselves: of a team two people at most, which is enough to tell one from several. */
  readonly actors: readonly string[]
  /** Of a token that is of no program: who made it, and bounds it. */
  readonly makers: readonly string[] | null
}

/** Everything that holds a role and in which somebody can prove themselves: people who are active and can log in, programs, tokens. */
export async function boundSubjects(sql: Sql): Promise<BoundSubject[]> {
  return sql.query(
    `with bound as (
       select b.subject_kind as kind, b.subject_id as id, array_agg(b.role order by b.role) as roles from role_binding b group by 1, 2)
     select b.kind, b.id, i.kind as what, b.roles,
            case b.kind when 'team' then array(
                with recursive below(id) as (
                  select b.id union select n.child_id from team_nesting n join below x on n.parent_id = x.id)
                select distinct p.id from below x join team_member m on m.team_id = x.id join identity p on p.id = m.identity_id
                 where ${canLogIn('p')} order by 1 limit 2)
              else array[coalesce(t.identity_id, b.id)] end as actors,
            case when o.kind is null or o.kind = 'human' then t.makers end as makers
       from bound b
       left join identity i on b.kind = 'identity' and i.id = b.id
       left join api_token t on b.kind = 'token' and t.id = b.id
       left join identity o on o.id = t.identity_id left join identity a on a.id = t.acts_for_id
      where b.kind = 'team' or (i.kind <> 'human' and i.status = 'active') or (i.id is not null and ${canLogIn('i')})
         or (t.id is not null and ${GOOD}
             and (t.identity_id is null or o.status = 'active') and (t.acts_for_id is null or a.status = 'active')
             and not exists (select 1 from unnest(t.makers) m(id) left join identity w on w.id = m.id
                              where w.status is distinct from 'active'))`,
  )
}

/** Of these people, and of those in these teams through any nesting, who is active and can log in; by name. */
export async function peopleWhoCanLogIn(
  sql: Sql,
  identities: readonly string[],
  teams: readonly string[],
): Promise<{ id: string; name: string }[]> {
  return sql.query(
    `with recursive below(id) as (
       select unnest($2::uuid[]) union select n.child_id from team_nesting n join below x on n.parent_id = x.id)
     select p.id, p.name from identity p
      where (p.id = any($1::uuid[]) or p.id in (select m.identity_id from below x join team_member m on m.team_id = x.id))
        and ${canLogIn('p')} order by p.name`,
    [identities, teams],
  )
}

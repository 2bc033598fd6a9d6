import type { Sql, Tx } from '../store/index.ts'
import type { Holding, Said } from './person.model.ts'

/** The addresses of one person, as `addressKey` made them: what directories pushed, and the label `email` to which notices go. */
const addressesOf = (id: string) => `
  select e.address from scim_user u join scim_email e on e.user_id = u.id where u.identity_id = ${id} and u.deleted_at is null
  union select l.address from identity_label l where l.identity_id = ${id} and l.key = 'email'`

/** Other people of an address. */
const holdersOf = (address: string) => `
  select u.identity_id as id from scim_email e join scim_user u on u.id = e.user_id where e.address = ${address} and u.deleted_at is null
  union select l.identity_id from identity_label l where l.address = ${address} and l.key = 'email'`

/** Other people who share an address with one, unless somebody said that they are not the same. */
const sharing = (id: string) => `
  select distinct h.id, a.address from (${addressesOf(id)}) a cross join lateral (${holdersOf('a.address')}) h
    join identity me on me.id = ${id} and me.kind = 'human'
    join identity i on i.id = h.id and i.kind = 'human'
   where h.id <> ${id} and a.address <> ''
     and not exists (select from identity_pair d
                      where not d.same and d.low_id = least(h.id, ${id}) and d.high_id = greatest(h.id, ${id}))`

const declared = (id: string) => `
  select case when p.low_id = ${id} then p.high_id else p.low_id end as id from identity_pair p
   where p.same and (p.low_id = ${id} or p.high_id = ${id})`

/** SQL for ids of identities that may be of one human with another: declared so, or of an address that is not theirs alone. */
export const SHARED = `
  select low_id as id from identity_pair where same union select high_id from identity_pair where same
  union select a.id from (
    select x.id, count(*) over (partition by x.address) as people from (
      select u.identity_id as id, e.address from scim_user u join scim_email e on e.user_id = u.id where u.deleted_at is null
      union select l.identity_id, l.address from identity_label l where l.key = 'email') x where x.address <> '') a where a.people > 1`

/** These identities and all that are joined to them by what is said or by an address, over any number of steps. */
export async function connectedTo(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const found = await sql.query<{ id: string }>(
    `with recursive reach(id) as (
       select i from unnest($1::uuid[]) i
       union
       select n.id from reach r cross join lateral (${declared('r.id')} union select s.id from (${sharing('r.id')}) s) n)
     select id from reach order by id`,
    [ids],
  )
  return found.map(({ id }) => id)
}

export async function saidAmong(sql: Sql, ids: readonly string[]): Promise<Said[]> {
  return sql.query(
    'select low_id as one, high_id as other, same from identity_pair where low_id = any($1::uuid[]) and high_id = any($1::uuid[])',
    [ids],
  )
}

/** Which of these people has which address, by whose word and since when. */
export async function addressesAmong(sql: Sql, ids: readonly string[]): Promise<Holding[]> {
  const found = await sql.query<Omit<Holding, 'sinceMs'> & { readonly since: Date | null }>(
    `select x.address, x.identity, x.directory, x.since from (
       select e.address, u.identity_id as identity, u.provider_id::text as directory, e.since
         from scim_user u join scim_email e on e.user_id = u.id where u.identity_id = any($1::uuid[]) and u.deleted_at is null
       union all
       select l.address, l.identity_id, null, null from identity_label l
        where l.identity_id = any($1::uuid[]) and l.key = 'email') x
       join identity i on i.id = x.identity and i.kind = 'human' where x.address <> ''`,
    [ids],
  )
  return found.map(({ since, ...rest }) => ({ ...rest, sinceMs: since?.getTime() ?? 0 }))
}

/** What has been said of two identities; in place of what was said before. False if it was said already. */
export async function putPair(tx: Tx, pair: PairRow): Promise<boolean> {
  const done = await tx.query(
    `insert into identity_pair (low_id, high_id, same, said_at, said_by, reason)
     values (least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid), $3, $4, $5, $6)
     on conflict (low_id, high_id) do update set same = excluded.same, said_at = excluded.said_at, said_by = excluded.said_by,
       reason = excluded.reason where identity_pair.same <> excluded.same returning low_id`,
    [pair.one, pair.other, pair.same, pair.at, pair.by, pair.reason],
  )
  return done.length === 1
}

export interface PairRow {
  readonly one: string
  readonly other: string
  readonly same: boolean
  readonly at: Date
  readonly by: string
  readonly reason: string
}

export interface OtherRow {
  readonly id: string
  readonly name: string
  readonly status: string
  /** Said by somebody; null: only an address says so. */
  readonly same: boolean | null
  readonly address: string | null
}

/** Identities of which something is said or shared beside this one. */
export async function othersOf(sql: Sql, id: string): Promise<OtherRow[]> {
  return sql.query(
    `with said as (select case when p.low_id = $1 then p.high_id else p.low_id end as id, p.same from identity_pair p
                    where p.low_id = $1 or p.high_id = $1),
          shared as (select s.id, min(s.address) as address from (${sharing('$1::uuid')}) s group by s.id)
     select i.id, i.name, i.status, d.same, s.address
       from said d full join shared s on s.id = d.id join identity i on i.id = coalesce(d.id, s.id) order by i.id limit 100`,
    [id],
  )
}

export interface DoubleRow {
  readonly id: string
  readonly name: string
  readonly address: string | null
  readonly others: readonly string[] | null
  readonly since: Date
}

/** People, some at a time, with later ones who share an address and of whom nobody has said whether they are the same. */
export async function doubles(sql: Sql, after: string | null, limit: number): Promise<DoubleRow[]> {
  return sql.query(
    `select m.id, m.name, o.address, o.others, m.changed_at as since
       from (select * from identity where kind = 'human' and ($1::uuid is null or id > $1) order by id limit $2) m
       left join lateral (
         select min(s.address) as address, array_agg(distinct n.name) as others
           from (${sharing('m.id')}) s join identity n on n.id = s.id
          where n.id > m.id and n.status <> 'offboarded' and m.status <> 'offboarded'
            and not exists (select from identity_pair p where p.low_id = m.id and p.high_id = n.id)) o on true
      order by m.id`,
    [after, limit],
  )
}

/**
 * SQL that is true if the identity `person` is an active person who has a way to log in: a passkey, or a subject at a
 * provider that is set up.
 */
export function canLogIn(person: string): string {
  return `(${person}.status = 'active' and ${person}.kind = 'human' and (
    exists (select 1 from passkey pk where pk.identity_id = ${person}.id)
    or exists (select 1 from identity_external e join login_provider l on e.source = 'oidc:' || l.name
                 and starts_with(e.external_id, l.issuer || '|') where e.identity_id = ${person}.id)))`
}

import type { Sql, Tx } from '../store/index.ts'
import { GOOD } from './token.store.ts'

/** What lets others in, or tells them: an issuer with its rules, a directory's token, a login provider with its links, a channel. */
export type RoadKind = 'issuer' | 'directory' | 'login' | 'channel'

/** One that somebody made, in whole or in part. */
export interface RoadRow {
  readonly kind: RoadKind
  /** Of a directory: that of the token. */
  readonly id: string
  readonly name: string
  /** Names of who made it, in whole or in part; the id of one who is gone. */
  readonly makers: readonly string[]
  /** They made the thing itself, not only parts of it. */
  readonly whole: boolean
  /** Whom the parts that they made let in, by name: rules of an issuer, links of a login provider. */
  readonly lets_in: readonly string[] | null
  /** Who made it knows a secret of it: the key of an issuer whose keys came with it, the token, a client's or channel's secret. */
  readonly secret: boolean
  readonly since: Date
}

/**
 * SQL that is true of a row of this name, with `makers` and `confirmed`, for which nobody answers: one of its makers is not active, or
 * gone, and nobody has confirmed it, or somebody who stands behind that is not active.
 */
export const leftAlone = (row: string): string =>
  `(exists (select from unnest(${row}.makers) m(id) left join identity p on p.id = m.id where p.status is distinct from 'active')
    and (${answered(row)}) is not true)`

/** SQL that is true if it is confirmed, and all who stood behind that are active; with `except` also none of them is that identity. */
function answered(row: string, except = 'null::uuid'): string {
  return `(cardinality(${row}.confirmed) > 0 and not exists (select from unnest(${row}.confirmed) c(id) left join identity p on p.id = c.id
            where p.status is distinct from 'active' or c.id = ${except}))`
}

/** Things and their parts, each with who made it, and who has confirmed it since. */
const PART = `part as (
  select 'issuer' as kind, i.id, i.name, i.makers, i.confirmed, null as lets_in, i.keys_from = 'inline' as secret, i.created_at as since
    from issuer i
  union all
  select 'issuer', i.id, i.name, r.makers, case when i.confirmed_at > r.created_at then i.confirmed end,
         coalesce(n.name, r.identity_id::text), false, r.created_at
    from issuer_rule r join issuer i on i.id = r.issuer_id left join identity n on n.id = r.identity_id
  union all
  select 'directory', t.id, p.name, t.makers, null, null, true, t.created_at from scim_token t join scim_provider p on p.id = t.provider_id
   where ${GOOD}
  union all
  select 'login', l.id, l.name, l.makers, l.confirmed, null, l.sealed is not null, l.created_at from login_provider l
  union all
  select 'login', l.id, l.name, e.makers, case when l.confirmed_at > e.made_at then l.confirmed end, n.name, false, e.made_at
    from identity_external e join login_provider l on e.source = 'oidc:' || l.name join identity n on n.id = e.identity_id
   where e.makers is not null and n.status <> 'offboarded'
  union all
  select 'channel', c.id, c.name, c.makers, c.confirmed, null, c.sealed is not null, c.created_at from notify_channel c
   where c.removed_at is null)`

const GROUPED = `
  select x.kind, x.id, x.name, bool_or(x.lets_in is null) as whole, bool_or(x.secret) as secret, max(x.since) as since,
         array_agg(distinct x.lets_in) filter (where x.lets_in is not null) as lets_in,
         array_agg(distinct coalesce(p.name, m.id::text)) as makers
    from part x cross join lateral unnest(x.makers) m(id) left join identity p on p.id = m.id`

/** Those for which nobody answers, by id. */
export async function roadsLeft(sql: Sql, after: string | null, limit: number): Promise<RoadRow[]> {
  return sql.query(
    `with ${PART} ${GROUPED} where p.status is distinct from 'active' and ${leftAlone('x')} and ($1::uuid is null or x.id > $1)
      group by x.kind, x.id, x.name order by x.id limit $2`,
    [after, limit],
  )
}

/** Those that this identity made and for which nobody else would answer if it left, by kind and name. */
export async function roadsOf(sql: Sql, identity: string): Promise<RoadRow[]> {
  return sql.query(
    `with ${PART} ${GROUPED} where m.id = $1
        and (${answered('x', '$1')}) is not true
      group by x.kind, x.id, x.name order by x.kind, x.name, x.id`,
    [identity],
  )
}

const TABLES = { issuer: 'issuer', login: 'login_provider', channel: 'notify_channel' } as const
/** What can be confirmed: of a directory the token is rotated. */
export type Confirmable = keyof typeof TABLES

/** Its id; null if there is none of this name. */
export async function lockRoad(tx: Tx, kind: Confirmable, name: string): Promise<string | null> {
  const [row] = await tx.query<{ id: string }>(`select id from ${TABLES[kind]} where name = $1 for update`, [name])
  return row?.id ?? null
}

/** Ids of those who made it, in whole or in part, and are not active. */
export async function leaversOf(tx: Tx, kind: Confirmable, id: string): Promise<string[]> {
  const found = await tx.query<{ id: string }>(
    `with ${PART} select distinct m.id from part x cross join lateral unnest(x.makers) m(id) left join identity p on p.id = m.id
      where x.kind = $1 and x.id = $2 and p.status is distinct from 'active'`,
    [kind, id],
  )
  return found.map((one) => one.id)
}

export async function confirmRoad(tx: Tx, kind: Confirmable, id: string, by: readonly string[]): Promise<void> {
  await tx.query(`update ${TABLES[kind]} set confirmed = $2, confirmed_at = now() where id = $1`, [id, by])
}

import type { Sql } from '../store/index.ts'
import type { ClosureState, Goal, ItemCounts, ItemState, Relation } from './closure.model.ts'
import type { VersionState } from './model.ts'
import { RECORD_COLUMNS, type RotationRecord } from './record.ts'
import type { State } from './rotation.model.ts'

const AT_ONCE = 5000
const KEYS_AT_ONCE = 500
const FIRST = '00000000-0000-0000-0000-000000000000'

export interface RotationRow extends RotationRecord {
  readonly id: string
  readonly credential: string
  readonly state: State
  readonly started_by: string
  readonly recheck: boolean
  /** Who overrode its activation, and why; of a row that was changed by hand anything. */
  readonly override: unknown
}

export interface VersionRow {
  readonly id: string
  readonly credential_id: string
  readonly credential: string
  readonly number: number
  readonly state: VersionState
  readonly account: string
  readonly fingerprint: string | null
  readonly has_sealed: boolean
  readonly installed_at: Date | null
  readonly revoked_at: Date | null
  readonly effective_dead_at: Date | null
  readonly proved_dead_at: Date | null
  readonly shred_after: Date | null
  readonly leaked_reason: string | null
  readonly shredded: boolean
  /** True while a rotation of its credential is under way. */
  readonly moving: boolean
}

/** Every rotation, by id, some at a time. */
export function rotationRows(sql: Sql): AsyncGenerator<RotationRow> {
  return pages<RotationRow>(
    sql,
    `select r.id, c.name as credential, r.started_by, r.recheck_at is not null as recheck,
            r.activation_override as override, ${RECORD_COLUMNS}
       from rotation r join credential c on c.id = r.credential_id
      where r.id > $1 order by r.id limit $2`,
  )
}

/** Every version, by id, some at a time. */
export function versionRows(sql: Sql): AsyncGenerator<VersionRow> {
  return pages<VersionRow>(
    sql,
    `select v.id, v.credential_id, c.name as credential, v.number, v.state, v.account, v.fingerprint, v.sealed is not null as has_sealed,
            v.installed_at, v.revoked_at, v.effective_dead_at, v.proved_dead_at, v.shred_after,
            v.leaked_reason, v.shredded_at is not null as shredded,
            exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null) as moving
       from version v join credential c on c.id = v.credential_id
      where v.id > $1 order by v.id limit $2`,
  )
}

/** Wrapped data keys by credential, some at a time. */
export async function* credentialKeys(sql: Sql): AsyncGenerator<{ id: string; name: string; kek_id: string; wrapped_key: Uint8Array }[]> {
  for (let after = FIRST; ; ) {
    const rows = await sql.query<{ id: string; name: string; kek_id: string; wrapped_key: Uint8Array }>(
      'select id, name, kek_id, wrapped_key from credential where id > $1 order by id limit $2',
      [after, KEYS_AT_ONCE],
    )
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    after = last.id
  }
}

/** The ciphertexts of some credentials' versions. */
export async function sealedVersions(
  sql: Sql,
  credentials: readonly string[],
): Promise<{ id: string; number: number; credential: string; credential_id: string; sealed: Uint8Array }[]> {
  return sql.query(
    `select v.id, v.number, c.name as credential, v.credential_id, v.sealed from version v join credential c on c.id = v.credential_id
      where v.credential_id = any($1::uuid[]) and v.sealed is not null order by v.credential_id, v.number`,
    [credentials],
  )
}

/** A root credential. It has no identity, schedule or grace period: a rotation of it never waits. */
export interface RootRow {
  readonly name: string
  readonly system: string
  readonly accounts: string[]
  readonly strategy: string
  readonly identity: string | null
  readonly every: number | null
  readonly grace: number
}

/** Root credentials, which are no items of a fleet file. */
export async function rootRows(sql: Sql): Promise<RootRow[]> {
  return sql.query(
    `select c.name, s.name as system, c.accounts, c.strategy, c.identity_id as identity, c.every_seconds as every, c.grace_seconds as grace
       from credential c join system s on s.id = c.system_id where c.is_root`,
  )
}

/** Credentials whose accounts are not exactly those that the table of taken accounts holds for them. */
export async function strayAccounts(sql: Sql): Promise<{ name: string }[]> {
  return sql.query(
    `select c.name from credential c
      where (select array_agg(n order by n) from unnest(c.accounts) n) is distinct from
            (select array_agg(a.name order by a.name) from account a where a.credential_id = c.id and a.system_id = c.system_id)
      order by c.name`,
  )
}

/** Credentials that have a schedule and no next rotation, or the other way round, or one later than the schedule allows. */
export async function scheduleFaults(sql: Sql): Promise<{ name: string }[]> {
  return sql.query(
    `select c.name from credential c join system s on s.id = c.system_id and s.decommissioned_at is null
      where (c.every_seconds is null) <> (c.next_rotation_at is null)
         or c.next_rotation_at > now() + make_interval(secs => c.every_seconds) + interval '1 minute'
      order by c.name`,
  )
}

async function* pages<Row extends { readonly id: string }>(sql: Sql, text: string): AsyncGenerator<Row> {
  for (let after = FIRST; ; ) {
    const rows = await sql.query<Row>(text, [after, AT_ONCE])
    yield* rows
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

export interface FsckItem {
  readonly closure_id: string
  readonly credential_id: string
  readonly credential_name: string
  readonly relation: Relation
  readonly state: ItemState
  readonly ended: boolean
  readonly shut: boolean
  /** A worker has it, or may have at any moment. */
  readonly moving: boolean
}

/** The latest item of each credential, and each item that a closure has of somebody else's. */
export async function itemRows(sql: Sql): Promise<FsckItem[]> {
  return sql.query(
    `select distinct on (i.credential_id, case when i.relation <> 'own' then i.closure_id end)
            i.closure_id, i.credential_id, i.credential_name, i.relation, i.state, i.ended_at is not null as ended,
            c.closed_at is not null as shut, coalesce(i.due_at <= now(), false) or coalesce(i.lease_until > now(), false)
              or (i.due_at is not null and i.state <> 'handed_over') as moving
       from closure_item i join credential c on c.id = i.credential_id
      order by i.credential_id, case when i.relation <> 'own' then i.closure_id end, i.id desc`,
  )
}

/** Every closure, with how many of its items are in each state. */
export async function closureRows(
  sql: Sql,
): Promise<{ id: string; identity_name: string; goal: Goal; state: ClosureState; counts: ItemCounts | null }[]> {
  return sql.query(
    `select o.id, o.identity_name, o.goal, o.state,
            (select jsonb_object_agg(n.state, n.count) from (
               select i.state, count(*)::int as count from closure_item i where i.closure_id = o.id group by i.state) n) as counts
       from closure o order by o.id`,
  )
}

/** Open exceptions and reviews, as `exception ID` and `review ID`. A review that its exception's end closed is told by that end. */
export async function openRecords(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ key: string }>(
    `select 'exception ' || id::text as key from exception where closed_at is null
     union all select 'review ' || id::text from review where done_at is null`,
  )
  return rows.map(({ key }) => key)
}

/** Credentials whose rotations are stopped, and which no closure stops or has ended. */
export async function strayClosed(sql: Sql): Promise<{ name: string }[]> {
  return sql.query(
    `select c.name from credential c
      where c.closed_at is not null
        and coalesce((select i.state from closure_item i where i.credential_id = c.id and i.relation = 'own'
                       order by i.id desc limit 1), 'none')
            in ('none', 'rotating', 'rotated', 'resumed')
      order by c.name`,
  )
}

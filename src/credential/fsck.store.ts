import type { Sql } from '../store/index.ts'
import type { VersionState } from './model.ts'
import type { State } from './rotation.model.ts'

const AT_ONCE = 5000
const FIRST = '00000000-0000-0000-0000-000000000000'

interface RotationRow {
  readonly id: string
  readonly credential: string
  readonly state: State
}

interface VersionRow {
  readonly id: string
  readonly credential_id: string
  readonly credential: string
  readonly number: number
  readonly state: VersionState
  readonly proved_dead_at: Date | null
  readonly shredded: boolean
  /** True while a rotation of its credential is under way. */
  readonly moving: boolean
}

/** Every rotation, by id, some at a time. */
export function rotationRows(sql: Sql): AsyncGenerator<RotationRow> {
  return pages<RotationRow>(
    sql,
    `select r.id, c.name as credential, r.state from rotation r join credential c on c.id = r.credential_id
      where r.id > $1 order by r.id limit $2`,
  )
}

/** Every version, by id, some at a time. */
export function versionRows(sql: Sql): AsyncGenerator<VersionRow> {
  return pages<VersionRow>(
    sql,
    `select v.id, v.credential_id, c.name as credential, v.number, v.state, v.proved_dead_at, v.shredded_at is not null as shredded,
            exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null) as moving
       from version v join credential c on c.id = v.credential_id
      where v.id > $1 order by v.id limit $2`,
  )
}

/** Root credentials, which are no items of a fleet file. */
export async function rootRows(sql: Sql): Promise<{ name: string; system: string; accounts: string[]; strategy: string }[]> {
  return sql.query(
    'select c.name, s.name as system, c.accounts, c.strategy from credential c join system s on s.id = c.system_id where c.is_root',
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

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

async function* pages<Row extends { readonly id: string }>(sql: Sql, text: string): AsyncGenerator<Row> {
  for (let after = FIRST; ; ) {
    const rows = await sql.query<Row>(text, [after, AT_ONCE])
    yield* rows
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

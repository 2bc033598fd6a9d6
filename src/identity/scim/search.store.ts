import { RekeyError } from '../../kernel/index.ts'
import type { Sql } from '../../store/index.ts'
import type { By, Driver } from './driver.ts'
import type { GroupRow } from './group.store.ts'
import type { ResourceRow } from './user.store.ts'

/** Conditions on one parameter, $2. Their texts are constants; which of them there are is what a filter can be answered by. */
type Conditions = Readonly<Partial<Record<By, string>>>
const ALL = '$2::text is null'

const USERS: Conditions = {
  none: '$2::text is not null',
  id: 'id = $2::uuid',
  userName: 'user_name_key = $2',
  external: 'external_id = $2',
  email: 'id in (select user_id from scim_email where email_key = $2)',
  active: 'active = $2::boolean',
  changedAfter: 'changed_at > $2::timestamptz',
  changedSince: 'changed_at >= $2::timestamptz',
}

const GROUPS: Conditions = {
  none: '$2::text is not null',
  id: 'id = $2::uuid',
  displayName: 'display_key = $2',
  external: 'external_id = $2',
  member: 'id in (select group_id from scim_member where member_id = $2::uuid)',
  changedAfter: 'changed_at > $2::timestamptz',
  changedSince: 'changed_at >= $2::timestamptz',
}

/** One resource type's rows, as a search reads them. */
export interface Collection<Row extends ResourceRow> {
  supports(by: By): boolean
  count(sql: Sql, providerId: string, driver: Driver | null): Promise<number>
  page(sql: Sql, providerId: string, driver: Driver | null, offset: number, limit: number): Promise<Row[]>
  /** In the order of ids, those behind `after`. */
  behind(sql: Sql, providerId: string, driver: Driver | null, after: string, limit: number): Promise<Row[]>
  byIds(sql: Sql, providerId: string, ids: readonly string[]): Promise<Row[]>
}

const NIL = '00000000-0000-0000-0000-000000000000'
/** Before every id. */
export const FIRST = NIL

function collection<Row extends ResourceRow>(from: string, columns: string, conditions: Conditions): Collection<Row> {
  const where = (driver: Driver | null) => {
    const condition = driver === null ? ALL : conditions[driver.by]
    if (condition === undefined) throw new RekeyError('internal', 'A search has no such condition.')
    return `${from} and ${condition}`
  }
  const value = (driver: Driver | null) => driver?.value ?? null
  return {
    supports: (by) => conditions[by] !== undefined,
    async count(sql, providerId, driver) {
      const [row] = await sql.query<{ n: number }>(`select count(*)::int as n ${where(driver)}`, [providerId, value(driver)])
      return row?.n ?? 0
    },
    page: (sql, providerId, driver, offset, limit) =>
      sql.query<Row>(`select ${columns} ${where(driver)} order by id offset $3 limit $4`, [providerId, value(driver), offset, limit]),
    behind: (sql, providerId, driver, after, limit) =>
      sql.query<Row>(`select ${columns} ${where(driver)} and id > $3 order by id limit $4`, [providerId, value(driver), after, limit]),
    byIds: (sql, providerId, ids) =>
      ids.length === 0
        ? Promise.resolve([])
        : sql.query<Row>(`select ${columns} ${from} and id = any($2::uuid[]) order by id`, [providerId, ids]),
  }
}

const SHOWN = 'id, resource, version, created_at, changed_at'

export const userCollection: Collection<ResourceRow> = collection(
  'from scim_user where provider_id = $1 and deleted_at is null',
  SHOWN,
  USERS,
)

export const groupCollection: Collection<GroupRow> = collection('from scim_group where provider_id = $1', `${SHOWN}, member_count`, GROUPS)

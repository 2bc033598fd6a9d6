import type { Sql, Tx } from '../../store/index.ts'
import type { ResourceRow } from './user.store.ts'

const GROUP = 'id, resource, version, member_count, created_at, changed_at'

export interface GroupRow extends ResourceRow {
  readonly member_count: number
}

export interface GroupKeys {
  readonly displayKey: string
  readonly externalId: string | null
}

/** The group, locked to the end of the transaction: changes of one group wait for one another, so that none is lost. */
export async function lockGroup(tx: Tx, providerId: string, id: string): Promise<GroupRow | null> {
  const [row] = await tx.query<GroupRow>(`select ${GROUP} from scim_group where id = $2 and provider_id = $1 for no key update`, [
    providerId,
    id,
  ])
  return row ?? null
}

export async function insertGroup(tx: Tx, providerId: string, row: GroupRow, keys: GroupKeys): Promise<void> {
  await tx.query(
    `insert into scim_group (id, provider_id, display_key, external_id, resource, member_count, created_at, changed_at)
     values ($1, $2, $3, $4, $5::jsonb, $7, $6, $6)`,
    [row.id, providerId, keys.displayKey, keys.externalId, JSON.stringify(row.resource), row.created_at, row.member_count],
  )
}

export async function updateGroup(tx: Tx, row: GroupRow, keys: GroupKeys): Promise<void> {
  await tx.query(
    `update scim_group set display_key = $2, external_id = $3, resource = $4::jsonb, version = $5, changed_at = $6, member_count = $7
      where id = $1`,
    [row.id, keys.displayKey, keys.externalId, JSON.stringify(row.resource), row.version, row.changed_at, row.member_count],
  )
}

export async function dropGroup(tx: Tx, id: string): Promise<void> {
  await tx.query('delete from scim_group where id = $1', [id])
}

/** Which of these ids are groups of this provider. */
export async function knownGroups(sql: Sql, providerId: string, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const rows = await sql.query<{ id: string }>('select id from scim_group where id = any($2::uuid[]) and provider_id = $1', [
    providerId,
    ids,
  ])
  return rows.map(({ id }) => id)
}

/** A member as it is stored. */
export interface MemberRow {
  readonly group_id: string
  readonly member_id: string
  readonly is_user: boolean
  readonly display: string | null
}

const SHOWN = `m.group_id, m.member_id, m.user_id is not null as is_user,
       coalesce(u.resource ->> 'displayName', u.resource ->> 'userName', c.resource ->> 'displayName') as display
  from scim_member m left join scim_user u on u.id = m.user_id left join scim_group c on c.id = m.child_id`

/** Members of these groups; a user that was deleted is none. With `only`, just those of these ids. At most `limit` rows. */
export async function membersOfGroups(
  sql: Sql,
  groupIds: readonly string[],
  only: readonly string[] | null,
  limit: number,
): Promise<MemberRow[]> {
  if (groupIds.length === 0) return []
  return sql.query(
    `select ${SHOWN}
      where m.group_id = any($1::uuid[]) and ($2::uuid[] is null or m.member_id = any($2::uuid[])) and u.deleted_at is null
      order by m.group_id, m.member_id limit $3`,
    [groupIds, only, limit],
  )
}

/** Resolves with those that were not members before. */
export async function addMembers(tx: Tx, groupId: string, users: readonly string[], groups: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ member_id: string }>(
    `insert into scim_member (group_id, member_id, user_id, child_id)
     select $1::uuid, u, u, null::uuid from unnest($2::uuid[]) u union all select $1::uuid, c, null::uuid, c from unnest($3::uuid[]) c
     on conflict do nothing returning member_id`,
    [groupId, users, groups],
  )
  return rows.map((row) => row.member_id)
}

export interface Removed {
  readonly member_id: string
  /** Null: a group. */
  readonly identity_id: string | null
}

/** Null for `ids`: all. Resolves with those that were members. */
export async function dropMembers(tx: Tx, groupId: string, ids: readonly string[] | null): Promise<Removed[]> {
  return tx.query(
    `delete from scim_member m where m.group_id = $1 and ($2::uuid[] is null or m.member_id = any($2::uuid[]))
     returning m.member_id, (select u.identity_id from scim_user u where u.id = m.user_id) as identity_id`,
    [groupId, ids],
  )
}

/** The groups that a member is directly in, locked in one order, so that two leavers do not wait for one another. */
export async function lockGroupsOf(tx: Tx, memberId: string): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `select g.id from scim_group g where g.id in (select group_id from scim_member where member_id = $1) order by g.id for no key update`,
    [memberId],
  )
  return rows.map(({ id }) => id)
}

/** Takes a member out of every group, whose versions count it. */
export async function dropEverywhere(tx: Tx, memberId: string, groupIds: readonly string[], at: Date): Promise<void> {
  await tx.query('delete from scim_member where member_id = $1', [memberId])
  await tx.query(
    'update scim_group set version = version + 1, member_count = member_count - 1, changed_at = $2 where id = any($1::uuid[])',
    [groupIds, at],
  )
}

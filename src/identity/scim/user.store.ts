import { addressKey } from '../../kernel/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import type { JsonObject } from './attribute.ts'

/** What every resource has beside what its provider wrote. */
export interface ResourceRow {
  readonly id: string
  readonly resource: JsonObject
  readonly version: number
  readonly created_at: Date
  readonly changed_at: Date
}

export interface UserRow extends ResourceRow {
  readonly identity_id: string
  readonly active: boolean | null
  readonly suspended: boolean
  readonly offboard_at: Date | null
  readonly deleted_at: Date | null
}

const USER = 'id, identity_id, active, suspended, resource, version, created_at, changed_at, offboard_at, deleted_at'

/** What the unique and the searched columns hold of a resource. */
export interface UserKeys {
  readonly userNameKey: string
  readonly externalId: string | null
  readonly emailKeys: readonly string[]
}

/** The user, locked to the end of the transaction; other providers' and deleted ones are not there. */
export async function lockUser(tx: Tx, providerId: string, id: string): Promise<UserRow | null> {
  const [row] = await tx.query<UserRow>(
    `select ${USER} from scim_user where id = $2 and provider_id = $1 and deleted_at is null for no key update`,
    [providerId, id],
  )
  return row ?? null
}

export async function userNameTaken(sql: Sql, providerId: string, key: string, exceptId: string | null): Promise<boolean> {
  const found = await sql.query(
    `select id from scim_user where provider_id = $1 and user_name_key = $2 and deleted_at is null and ($3::uuid is null or id <> $3)`,
    [providerId, key, exceptId],
  )
  return found.length > 0
}

/** False if another request took the name meanwhile. */
export async function insertUser(tx: Tx, providerId: string, row: UserRow, keys: UserKeys): Promise<boolean> {
  const done = await tx.query(
    `insert into scim_user (id, provider_id, identity_id, user_name_key, external_id, active, suspended, resource, created_at, changed_at,
                            offboard_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $9, $10)
     on conflict (provider_id, user_name_key) where deleted_at is null do nothing returning id`,
    [
      row.id,
      providerId,
      row.identity_id,
      keys.userNameKey,
      keys.externalId,
      row.active,
      row.suspended,
      JSON.stringify(row.resource),
      row.created_at,
      row.offboard_at,
    ],
  )
  if (done.length === 0) return false
  await addEmails(tx, row.id, keys.emailKeys, row.created_at)
  return true
}

export async function updateUser(tx: Tx, row: UserRow, keys: UserKeys): Promise<void> {
  await tx.query(
    `update scim_user set identity_id = $2, user_name_key = $3, external_id = $4, active = $5, suspended = $6, resource = $7::jsonb,
                          version = $8, changed_at = $9, offboard_at = $10
      where id = $1`,
    [
      row.id,
      row.identity_id,
      keys.userNameKey,
      keys.externalId,
      row.active,
      row.suspended,
      JSON.stringify(row.resource),
      row.version,
      row.changed_at,
      row.offboard_at,
    ],
  )
}

/** What stays is kept with the time since when it is said: by that an address is one person's before it is another's. */
export async function setEmails(tx: Tx, id: string, emailKeys: readonly string[], at: Date): Promise<void> {
  await tx.query('delete from scim_email where user_id = $1 and not email_key = any($2::text[])', [id, emailKeys])
  await addEmails(tx, id, emailKeys, at)
}

async function addEmails(tx: Tx, id: string, emailKeys: readonly string[], at: Date): Promise<void> {
  if (emailKeys.length === 0) return
  await tx.query(
    `insert into scim_email (user_id, email_key, address, since)
     select $1, e.key, e.address, $4 from unnest($2::text[], $3::text[]) e(key, address)
     on conflict do nothing`,
    [id, emailKeys, emailKeys.map(addressKey), at],
  )
}

/** The addresses of a user, each with the time since when it is said. */
export async function emailsOf(sql: Sql, id: string): Promise<{ readonly address: string; readonly since: Date }[]> {
  return sql.query('select email_key as address, since from scim_email where user_id = $1', [id])
}

/** Out of sight of its provider. */
export async function tombstone(tx: Tx, id: string, at: Date, suspended: boolean, offboardAt: Date): Promise<void> {
  await tx.query('update scim_user set deleted_at = $2, suspended = $3, offboard_at = $4 where id = $1', [id, at, suspended, offboardAt])
}

/** By which token the offboarding was ordered that is to come. */
export async function orderedBy(tx: Tx, id: string, token: string): Promise<void> {
  await tx.query('update scim_user set offboard_by = $2 where id = $1', [id, token])
}

export async function dropUser(tx: Tx, id: string): Promise<void> {
  await tx.query('delete from scim_user where id = $1', [id])
}

export type DueRow = UserRow & {
  readonly provider: string
  readonly provider_id: string
  /** Who made the token by which it was ordered; null: nobody is on record. */
  readonly makers: readonly string[] | null
}

/**
 * A user whose offboarding is due, locked, of those that no other process holds. One that waits for approval is looked at once a minute,
 * or two seconds after its request has got another state.
 */
export async function takeDue(tx: Tx, at: Date): Promise<DueRow | null> {
  const [row] = await tx.query<DueRow>(
    `select u.id, u.identity_id, u.active, u.suspended, u.resource, u.version, u.created_at, u.changed_at, u.offboard_at, u.deleted_at,
            p.name as provider, p.id as provider_id, (select t.makers from scim_token t where t.id = u.offboard_by) as makers
       from scim_user u join scim_provider p on p.id = u.provider_id
      where u.offboard_at <= $1
        and not exists (select from scim_wait w left join approval a on a.id = w.approval_id
                         where w.user_id = u.id and w.looked_at > $1::timestamptz - interval '1 minute'
                           and (coalesce(a.state, 'requested') = 'requested' or w.looked_at > $1::timestamptz - interval '2 seconds'))
      order by u.offboard_at limit 1 for no key update of u skip locked`,
    [at],
  )
  return row ?? null
}

/** `suspended`: that the provider suspended it stays on record, so that its word can resume it. */
export async function clearOffboarding(tx: Tx, id: string, suspended: boolean): Promise<void> {
  await tx.query('update scim_user set offboard_at = null, suspended = $2 where id = $1', [id, suspended])
}

/** Identity by user id, of this provider's users that are there. */
export async function identitiesOfUsers(sql: Sql, providerId: string, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await sql.query<{ id: string; identity_id: string }>(
    'select id, identity_id from scim_user where id = any($2::uuid[]) and provider_id = $1 and deleted_at is null',
    [providerId, ids],
  )
  return new Map(rows.map(({ id, identity_id }) => [id, identity_id]))
}

export async function externalIdTaken(sql: Sql, source: string, externalId: string, identityId: string | null): Promise<boolean> {
  const found = await sql.query(
    'select identity_id from identity_external where source = $1 and external_id = $2 and ($3::uuid is null or identity_id <> $3)',
    [source, externalId, identityId],
  )
  return found.length > 0
}

export async function statusOf(sql: Sql, identityId: string): Promise<string | null> {
  const [row] = await sql.query<{ status: string }>('select status from identity where id = $1', [identityId])
  return row?.status ?? null
}

/** The teams of the groups that a user is directly in. */
export async function groupIdsOf(sql: Sql, userId: string): Promise<string[]> {
  const rows = await sql.query<{ group_id: string }>('select group_id from scim_member where member_id = $1 order by group_id', [userId])
  return rows.map(({ group_id }) => group_id)
}

export interface GroupOfUser {
  readonly user_id: string
  readonly group_id: string
  readonly display: string
  readonly direct: boolean
}

/** The groups of these users, through any depth of nesting. */
export async function groupsOfUsers(sql: Sql, ids: readonly string[]): Promise<GroupOfUser[]> {
  if (ids.length === 0) return []
  return sql.query(
    `with recursive above(user_id, group_id, direct) as (
       select m.member_id, m.group_id, true from scim_member m where m.member_id = any($1::uuid[])
       union
       select a.user_id, m.group_id, false from above a join scim_member m on m.member_id = a.group_id)
     select a.user_id, a.group_id, g.resource ->> 'displayName' as display, bool_or(a.direct) as direct
       from above a join scim_group g on g.id = a.group_id group by a.user_id, a.group_id, display order by a.user_id, a.group_id`,
    [ids],
  )
}

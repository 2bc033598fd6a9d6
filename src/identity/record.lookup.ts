/** What other areas look up in the record, many at once. */
import type { Sql, Tx } from '../store/index.ts'
import { recordsOf } from './record.list.ts'
import type { IdentityRecord, IdentityStatus, OwnerRef } from './record.model.ts'
import { securityContact } from './team.actions.ts'

/** The records of these identities, by id. One that does not exist is not in the map. */
export async function recordsById(sql: Sql, ids: readonly string[]): Promise<Map<string, IdentityRecord>> {
  return new Map((await recordsOf(sql, [...new Set(ids)])).map((record) => [record.id, record]))
}

/** Ids of the identities with exactly these names, by name. */
export async function idsByName(sql: Sql, names: readonly string[]): Promise<Map<string, string>> {
  if (names.length === 0) return new Map()
  const rows = await sql.query<{ id: string; name: string }>('select id, name from identity where name = any($1::text[])', [
    [...new Set(names)],
  ])
  return new Map(rows.map(({ id, name }) => [name, id]))
}

/** The status of the identities with exactly these names, locked until the end of the transaction; one that does not exist is not in it. */
export async function lockStatuses(tx: Tx, names: readonly string[]): Promise<Map<string, IdentityStatus>> {
  const rows = await tx.query<{ name: string; status: IdentityStatus }>(
    'select name, status from identity where name = any($1::text[]) order by id for share',
    [names],
  )
  return new Map(rows.map(({ name, status }) => [name, status]))
}

/** Who answers for something, by immutable id, with the name of now. */
export type Answerable = OwnerRef & { readonly name: string }

/**
 * Who answers for an identity in fact: its owner if that is an active person other than itself, or a team with people; else the
 * security contact, which is always there.
 */
export async function answerableFor(sql: Sql, record: IdentityRecord | null): Promise<Answerable> {
  if (record?.ownerId != null && record.ownerId !== record.id) {
    if (record.ownerState === 'person') return { kind: 'person', id: record.ownerId, name: record.owner }
    if (record.ownerState === 'team') return { kind: 'team', id: record.ownerId, name: record.owner }
  }
  const { id, name } = await securityContact(sql)
  return { kind: 'team', id, name }
}

/** When these owners, people or teams, were changed last, by id: their status, or who is in them. */
export async function ownersChanged(sql: Sql, ids: readonly string[]): Promise<Map<string, Date>> {
  if (ids.length === 0) return new Map()
  const rows = await sql.query<{ id: string; at: Date }>(
    `select id, changed_at as at from identity where id = any($1::uuid[])
      union all select id, changed_at from team where id = any($1::uuid[])`,
    [[...new Set(ids)]],
  )
  return new Map(rows.map(({ id, at }) => [id, at]))
}

/** People who are entitled to these accounts, by system name and account. */
export async function peopleEntitled(
  sql: Sql,
  accounts: readonly { readonly system: string; readonly account: string }[],
): Promise<{ readonly system: string; readonly account: string; readonly identity: string; readonly name: string }[]> {
  if (accounts.length === 0) return []
  return sql.query(
    `select e.system, e.account, i.id as identity, i.name
       from jsonb_to_recordset($1::jsonb) as a(system text, account text)
       join entitlement e on e.system = a.system and e.account = a.account
       join identity i on i.id = e.identity_id and i.kind = 'human' and i.status <> 'offboarded'
      order by e.system, e.account, i.name`,
    [JSON.stringify(accounts)],
  )
}

/** Ids of the identities that somebody put in the recovery class emergency and that are not gone. */
export async function emergencyIdentities(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ id: string }>("select id from identity where recovery_class = 'emergency' and status <> 'offboarded'")
  return rows.map(({ id }) => id)
}

/** Programs whose owner is a text that names nobody, by id, after `after`; at most `limit`. */
export async function unownedIdentities(sql: Sql, after: string | null, limit: number): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    `select id from identity
      where owner_identity_id is null and owner_team_id is null and kind <> 'human' and status <> 'offboarded'
        and ($1::uuid is null or id > $1)
      order by id limit $2`,
    [after, limit],
  )
  return rows.map(({ id }) => id)
}

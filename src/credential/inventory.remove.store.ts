import type { Sql, Tx } from '../store/index.ts'
import { ALIVE } from './inventory.store.ts'

/** A version that could still authenticate, with what a probe of it needs. */
export interface AliveVersion {
  readonly id: string
  readonly credential_id: string
  readonly number: number
  readonly account: string
  readonly sealed: Uint8Array | null
}

export async function aliveVersions(sql: Sql, credentialIds: readonly string[]): Promise<AliveVersion[]> {
  return sql.query(
    `select id, credential_id, number, account, sealed from version
      where credential_id = any($1::uuid[]) and state in ${ALIVE} order by credential_id, number`,
    [credentialIds],
  )
}

export async function wrappedKeys(sql: Sql, ids: readonly string[]): Promise<{ id: string; kek_id: string; wrapped_key: Uint8Array }[]> {
  return sql.query('select id, kek_id, wrapped_key from credential where id = any($1::uuid[])', [ids])
}

/** Locks credentials against new rotations; resolves with those that have one under way. */
export async function lockCredentials(tx: Tx, ids: readonly string[]): Promise<string[]> {
  await tx.query('select id from credential where id = any($1::uuid[]) order by id for update', [ids])
  const rows = await tx.query<{ credential_id: string }>(
    'select credential_id from rotation where credential_id = any($1::uuid[]) and ended_at is null',
    [ids],
  )
  return rows.map((row) => row.credential_id)
}

/** Removes credentials with their versions, accounts, consumers and ended rotations: the record of those is the evidence. */
export async function deleteCredentials(tx: Tx, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await tx.query('delete from rotation where credential_id = any($1::uuid[])', [ids])
  await tx.query('delete from credential where id = any($1::uuid[])', [ids])
}

/** Which of these systems have a credential, roots left out. */
export async function credentialsOf(sql: Sql, systemIds: readonly string[]): Promise<Set<string>> {
  const rows = await sql.query<{ system_id: string }>(
    'select distinct system_id from credential where system_id = any($1::uuid[]) and not is_root',
    [systemIds],
  )
  return new Set(rows.map((row) => row.system_id))
}

export async function deleteSystems(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.query('delete from system where id = any($1::uuid[])', [ids])
}

export async function deleteConsumers(
  tx: Tx,
  consumers: readonly { readonly credential_id: string; readonly name: string }[],
): Promise<void> {
  if (consumers.length === 0) return
  await tx.query(
    `delete from consumer k using jsonb_to_recordset($1::jsonb) as i(credential_id uuid, name text)
      where k.credential_id = i.credential_id and k.name = i.name`,
    [JSON.stringify(consumers)],
  )
}

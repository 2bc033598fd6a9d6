import type { Sql, Tx } from '../store/index.ts'
import type { Kek } from './model.ts'

const LOCK = 7_395_003

/** One process at a time makes or retires a key-encryption key. Held to the end of the transaction. */
export async function lockKeks(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK])
}

export async function active(sql: Sql): Promise<Kek | null> {
  const [row] = await sql.query<Kek>("select id, kind, params, state from kek where state = 'active'")
  return row ?? null
}

export async function find(sql: Sql, id: string): Promise<Kek | null> {
  const [row] = await sql.query<Kek>('select id, kind, params, state from kek where id = $1', [id])
  return row ?? null
}

/** Oldest first. */
export async function inState(sql: Sql, state: Kek['state']): Promise<Kek[]> {
  return sql.query('select id, kind, params, state from kek where state = $1 order by created_at', [state])
}

/** Every key-encryption key there was, oldest first, without what gets it. */
export async function list(sql: Sql): Promise<(Kek & { created_at: Date })[]> {
  return sql.query("select id, kind, '{}'::jsonb as params, state, created_at from kek order by created_at")
}

/** True if the database has a table of keys, and a key was ever made in it. */
export async function hasKeks(sql: Sql): Promise<boolean> {
  const [table] = await sql.query<{ there: boolean }>("select to_regclass('kek') is not null as there")
  return table?.there === true && (await sql.query('select id from kek limit 1')).length > 0
}

export async function insert(tx: Tx, kek: Kek): Promise<void> {
  await tx.query('insert into kek (id, kind, params, state) values ($1, $2, $3, $4)', [
    kek.id,
    kek.kind,
    JSON.stringify(kek.params),
    kek.state,
  ])
}

export async function retireActive(tx: Tx): Promise<void> {
  await tx.query("update kek set state = 'retiring' where state = 'active'")
}

/** True if the row was still retiring. */
export async function markRetired(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query("update kek set state = 'retired' where id = $1 and state = 'retiring' returning id", [id])).length === 1
}

/** Locks a retired key's row, so that nothing comes to refer to it. False if it is not retired any more. */
export async function lockRetired(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query("select id from kek where id = $1 and state = 'retired' for update", [id])).length === 1
}

/**
 * Rows of any table that the key wraps, by their table and name, at most 100 of each table. The tables are those with a foreign key to
 * `kek`, by the catalogue: an area that is added later cannot be forgotten here.
 */
export async function wrappedBy(sql: Sql, id: string): Promise<string[]> {
  const tables = await sql.query<{ name: string; field: string }>(
    `select k.conrelid::regclass::text as name, quote_ident(a.attname) as field
       from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      where k.contype = 'f' and k.confrelid = 'kek'::regclass order by 1`,
  )
  const found: string[] = []
  for (const { name, field } of tables) {
    const rows = await sql.query<{ row: string | null }>(
      `select to_jsonb(t) ->> 'name' as row from ${name} t where ${field} = $1 order by 1 limit 100`,
      [id],
    )
    found.push(...rows.map(({ row }) => `${name.replaceAll('_', ' ')} ${row ?? 'without a name'}`))
  }
  return found
}

export async function notRetired(tx: Tx, id: string): Promise<void> {
  await tx.query("update kek set state = 'retiring' where id = $1", [id])
}

/** The active key, held active to the end of the transaction. Null if it changed while it was waited for. */
export async function activeForShare(tx: Tx): Promise<Kek | null> {
  const [row] = await tx.query<Kek>("select id, kind, params, state from kek where state = 'active' for share")
  return row ?? null
}

/** A named key of the installation itself (evidence signing seed, fingerprint key), wrapped. */
export async function installationKey(sql: Sql, name: string): Promise<{ kek_id: string; wrapped: Uint8Array } | null> {
  const [row] = await sql.query<{ kek_id: string; wrapped: Uint8Array }>('select kek_id, wrapped from installation_key where name = $1', [
    name,
  ])
  return row ?? null
}

export async function addInstallationKey(tx: Tx, name: string, kekId: string, wrapped: Uint8Array): Promise<void> {
  await tx.query('insert into installation_key (name, kek_id, wrapped) values ($1, $2, $3)', [name, kekId, wrapped])
}

export async function installationKeysUnder(tx: Tx, kekId: string): Promise<{ name: string; wrapped: Uint8Array }[]> {
  return tx.query('select name, wrapped from installation_key where kek_id = $1 for update', [kekId])
}

export async function rewrapInstallationKey(tx: Tx, name: string, kekId: string, wrapped: Uint8Array): Promise<void> {
  await tx.query('update installation_key set kek_id = $2, wrapped = $3 where name = $1', [name, kekId, wrapped])
}

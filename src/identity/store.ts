import type { Principal } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { ANSWER_HOURS, type Identity } from './model.ts'

const TOKEN_LOCK = 7_395_005

/** One process at a time makes the first token. Held to the end of the transaction. */
export async function lockTokens(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [TOKEN_LOCK])
}

export async function hasToken(tx: Tx): Promise<boolean> {
  return (await tx.query('select id from api_token where revoked_at is null limit 1')).length > 0
}

export async function addToken(tx: Tx, id: string, name: string, role: Principal['role'], hashHex: string): Promise<void> {
  await tx.query("insert into api_token (id, name, role, hash) values ($1, $2, $3, decode($4, 'hex'))", [id, name, role, hashHex])
}

/** Found through the unique index on the hash: what is compared in time that may depend on content is a hash, never the token. */
export async function principalOf(sql: Sql, hashHex: string): Promise<Principal | null> {
  const [row] = await sql.query<Principal>("select id, role from api_token where hash = decode($1, 'hex') and revoked_at is null", [
    hashHex,
  ])
  return row ?? null
}

/** Every token; `hash` in hex. */
export async function allTokens(sql: Sql): Promise<{ id: string; name: string; role: string; hash: string }[]> {
  return sql.query("select id, name, role, encode(hash, 'hex') as hash from api_token order by id")
}

/** Hashes of tokens that are not revoked, the newest first. */
export async function validTokens(sql: Sql, limit: number): Promise<string[]> {
  const found = await sql.query<{ hash: string }>(
    "select encode(hash, 'hex') as hash from api_token where revoked_at is null order by id desc limit $1",
    [limit],
  )
  return found.map(({ hash }) => hash)
}

export async function listIdentities(sql: Sql): Promise<Identity[]> {
  return sql.query('select id, name, kind, owner, purpose, environment from identity order by name collate "C"')
}

export async function identitiesById(sql: Sql, ids: readonly string[]): Promise<Identity[]> {
  return sql.query('select id, name, kind, owner, purpose, environment from identity where id = any($1::uuid[])', [ids])
}

export async function countIdentities(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: number }>('select count(*)::int as count from identity')
  return row?.count ?? 0
}

/** The present rows of these names, locked, so that what an event tells is what the statement after it changes. */
export async function lockIdentities(tx: Tx, names: readonly string[]): Promise<Identity[]> {
  return tx.query(
    'select id, name, kind, owner, purpose, environment from identity where name = any($1::text[]) order by name for update',
    [names],
  )
}

const COLUMNS = 'id uuid, name text, kind text, owner text, purpose text, environment text'

export async function insertIdentities(tx: Tx, identities: readonly Identity[]): Promise<void> {
  await tx.query(
    `insert into identity (id, name, kind, owner, purpose, environment)
     select i.id, i.name, i.kind, i.owner, i.purpose, i.environment from jsonb_to_recordset($1::jsonb) as i(${COLUMNS})`,
    [JSON.stringify(identities)],
  )
}

export async function updateIdentities(tx: Tx, identities: readonly Identity[]): Promise<void> {
  await tx.query(
    `update identity t set kind = i.kind, owner = i.owner, purpose = i.purpose, environment = i.environment
       from jsonb_to_recordset($1::jsonb) as i(${COLUMNS}) where t.id = i.id`,
    [JSON.stringify(identities)],
  )
}

export async function deleteIdentities(tx: Tx, names: readonly string[]): Promise<Identity[]> {
  return tx.query('delete from identity where name = any($1::text[]) returning id, name, kind, owner, purpose, environment', [names])
}

/** One row per key and token. An expired one is taken over in the same statement, so that two requests cannot both find it free. */
export async function takeKey(sql: Sql, tokenId: string, key: string, request: string): Promise<boolean> {
  const rows = await sql.query(
    `insert into idempotency as kept (token_id, key, request) values ($1, $2, $3)
     on conflict (token_id, key) do update set request = excluded.request, status = null, answer = null, created_at = now()
      where kept.created_at < now() - make_interval(hours => ${ANSWER_HOURS}) returning key`,
    [tokenId, key, request],
  )
  return rows.length === 1
}

export interface Kept {
  readonly request: string
  readonly status: number | null
  readonly answer: unknown
}

export async function keptAnswer(sql: Sql, tokenId: string, key: string): Promise<Kept | null> {
  const [row] = await sql.query<Kept>('select request, status, answer from idempotency where token_id = $1 and key = $2', [tokenId, key])
  return row ?? null
}

export async function keepAnswer(sql: Sql, tokenId: string, key: string, status: number, answer: string): Promise<boolean> {
  const rows = await sql.query(
    'update idempotency set status = $3, answer = $4::jsonb where token_id = $1 and key = $2 and status is null returning key',
    [tokenId, key, status, answer],
  )
  return rows.length === 1
}

/** Only while there is no answer: a kept one is never dropped early. */
export async function dropKey(sql: Sql, tokenId: string, key: string): Promise<void> {
  await sql.query('delete from idempotency where token_id = $1 and key = $2 and status is null', [tokenId, key])
}

/** A few at a time, at each new key: the table stays as large as a day's requests without a job of its own. */
export async function dropExpired(sql: Sql): Promise<void> {
  await sql.query(
    `delete from idempotency where ctid in (select ctid from idempotency
      where created_at < now() - make_interval(hours => ${ANSWER_HOURS}) order by created_at limit 100 for update skip locked)`,
  )
}

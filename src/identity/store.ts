import { nameKey } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { ANSWER_HOURS, type Identity } from './model.ts'

export async function fleetIdentities(sql: Sql, names: readonly string[]): Promise<Identity[]> {
  return sql.query(
    `select id, name, kind, owner, purpose, environment from identity where source = 'declared'
     union select id, name, kind, owner, purpose, environment from identity where name = any($1::text[]) order by name`,
    [names],
  )
}

/** With the name of who answers for it now, where that is known. */
export async function identitiesById(sql: Sql, ids: readonly string[]): Promise<Identity[]> {
  return sql.query(
    `select i.id, i.name, i.kind, coalesce(t.name, o.name, i.owner) as owner, i.purpose, i.environment
       from identity i left join identity o on o.id = i.owner_identity_id left join team t on t.id = i.owner_team_id
      where i.id = any($1::uuid[])`,
    [ids],
  )
}

export async function countIdentities(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: number }>('select count(*)::int as count from identity')
  return row?.count ?? 0
}

export interface Present extends Identity {
  readonly source: string
  readonly status: string
  /** Who answers for it; null while the text names nobody. */
  readonly ownerId: string | null
}

/** The present rows of these names, locked, so that what an event tells is what the statement after it changes. */
export async function lockIdentities(tx: Tx, names: readonly string[]): Promise<Present[]> {
  return tx.query(
    `select id, name, kind, owner, purpose, environment, source, status, coalesce(owner_team_id, owner_identity_id) as "ownerId"
       from identity where name = any($1::text[]) order by name for update`,
    [names],
  )
}

/** Those of these identities that a person or team answers for, by id. */
export async function answeredFor(sql: Sql, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const found = await sql.query<{ id: string }>(
    'select id from identity where id = any($1::uuid[]) and (owner_identity_id is not null or owner_team_id is not null)',
    [ids],
  )
  return found.map(({ id }) => id)
}

const COLUMNS = 'id uuid, name text, kind text, owner text, purpose text, environment text'

/** Resolves with the names that fold like one that is there, which is then not made. */
export async function insertIdentities(tx: Tx, identities: readonly Identity[]): Promise<{ name: string }[]> {
  const keyed = identities.map((it) => ({ ...it, name_key: nameKey(it.name) }))
  await tx.query(
    `insert into identity (id, name, name_key, kind, owner, purpose, environment)
     select i.id, i.name, i.name_key, i.kind, i.owner, i.purpose, i.environment
       from jsonb_to_recordset($1::jsonb) as i(${COLUMNS}, name_key text) order by i.name_key on conflict do nothing`,
    [JSON.stringify(keyed)],
  )
  return tx.query(
    `select distinct i.name from jsonb_to_recordset($1::jsonb) as i(${COLUMNS}, name_key text)
       join identity o on o.name_key = i.name_key and o.id <> i.id order by i.name`,
    [JSON.stringify(keyed)],
  )
}

export async function updateIdentities(tx: Tx, identities: readonly Identity[]): Promise<void> {
  await tx.query(
    `update identity t set kind = i.kind, owner = i.owner, purpose = i.purpose, environment = i.environment,
            owner_identity_id = case when t.owner = i.owner then t.owner_identity_id end,
            owner_team_id = case when t.owner = i.owner then t.owner_team_id end,
            revision = t.revision + 1, changed_at = now()
       from jsonb_to_recordset($1::jsonb) as i(${COLUMNS}) where t.id = i.id`,
    [JSON.stringify(identities)],
  )
}

/** People among them who own something else. */
export async function owningPeople(tx: Tx, names: readonly string[]): Promise<{ id: string }[]> {
  return tx.query(
    `select p.id from identity p where p.name = any($1::text[]) and p.kind = 'human'
        and exists (select 1 from identity i where i.owner_identity_id = p.id and i.id <> p.id) order by p.id`,
    [names],
  )
}

/** Nobody's manager any more: the rows that name them lose the name. */
export async function dropManagers(tx: Tx, names: readonly string[]): Promise<{ id: string; name: string }[]> {
  return tx.query(
    `update identity t set manager_id = null, revision = revision + 1, changed_at = now()
      where manager_id in (select id from identity where name = any($1::text[])) and not t.name = any($1::text[]) returning t.id, t.name`,
    [names],
  )
}

export async function deleteIdentities(tx: Tx, names: readonly string[]): Promise<Identity[]> {
  return tx.query('delete from identity where name = any($1::text[]) returning id, name, kind, owner, purpose, environment', [names])
}

/** One row per key and owner. An expired one is taken over in the same statement, so that two requests cannot both find it free. */
export async function takeKey(sql: Sql, owner: string, key: string, request: string): Promise<boolean> {
  const rows = await sql.query(
    `insert into idempotency as kept (token_id, key, request) values ($1, $2, $3)
     on conflict (token_id, key) do update set request = excluded.request, status = null, answer = null, created_at = now()
      where kept.created_at < now() - make_interval(hours => ${ANSWER_HOURS}) returning key`,
    [owner, key, request],
  )
  return rows.length === 1
}

export interface Kept {
  readonly request: string
  readonly status: number | null
  readonly answer: unknown
}

export async function keptAnswer(sql: Sql, owner: string, key: string): Promise<Kept | null> {
  const [row] = await sql.query<Kept>('select request, status, answer from idempotency where token_id = $1 and key = $2', [owner, key])
  return row ?? null
}

export async function keepAnswer(sql: Sql, owner: string, key: string, status: number, answer: string): Promise<boolean> {
  const rows = await sql.query(
    'update idempotency set status = $3, answer = $4::jsonb where token_id = $1 and key = $2 and status is null returning key',
    [owner, key, status, answer],
  )
  return rows.length === 1
}

/** Only while there is no answer: a kept one is never dropped early. */
export async function dropKey(sql: Sql, owner: string, key: string): Promise<void> {
  await sql.query('delete from idempotency where token_id = $1 and key = $2 and status is null', [owner, key])
}

/** A few at a time, at each new key: the table stays as large as a day's requests without a job of its own. */
export async function dropExpired(sql: Sql): Promise<void> {
  await sql.query(
    `delete from idempotency where ctid in (select ctid from idempotency
      where created_at < now() - make_interval(hours => ${ANSWER_HOURS}) order by created_at limit 100 for update skip locked)`,
  )
}

/** Ids of the teams that these identities are in, directly. */
export async function teamsOf(sql: Sql, names: readonly string[]): Promise<string[]> {
  const found = await sql.query<{ id: string }>(
    'select distinct m.team_id as id from team_member m join identity i on i.id = m.identity_id where i.name = any($1::text[])',
    [names],
  )
  return found.map(({ id }) => id)
}

import type { Sql, Tx } from '../../store/index.ts'

/** An identity provider, without its tokens. */
export interface ProviderRow {
  readonly id: string
  readonly name: string
  readonly tenancy: string
  readonly offboard_after_seconds: number
  readonly created_at: Date
}

const PROVIDER = 'id, name, tenancy, offboard_after_seconds, created_at'

/** False if there is one by that name. */
export async function insertProvider(tx: Tx, row: ProviderRow): Promise<boolean> {
  const done = await tx.query(
    `insert into scim_provider (${PROVIDER}) values ($1, $2, $3, $4, $5) on conflict (name) do nothing returning id`,
    [row.id, row.name, row.tenancy, row.offboard_after_seconds, row.created_at],
  )
  return done.length === 1
}

/** Locked, so that two rotations of its token wait for one another. */
export async function lockProvider(tx: Tx, name: string): Promise<ProviderRow | null> {
  const [row] = await tx.query<ProviderRow>(`select ${PROVIDER} from scim_provider where name = $1 for no key update`, [name])
  return row ?? null
}

export interface ProviderUse extends ProviderRow {
  readonly users: number
  readonly groups: number
  readonly tokens: number
  readonly expires_at: Date | null
  readonly last_used_at: Date | null
}

/** Good tokens are counted; `expires_at` is that of an old one that still overlaps. */
export async function listProviders(sql: Sql, at: Date, after: string, limit: number): Promise<ProviderUse[]> {
  return sql.query(
    `select ${PROVIDER}, u.n as users, g.n as groups, t.n as tokens, t.expires_at, t.last_used_at
       from scim_provider p
       cross join lateral (select count(*)::int as n from scim_user where provider_id = p.id and deleted_at is null) u
       cross join lateral (select count(*)::int as n from scim_group where provider_id = p.id) g
       cross join lateral (select count(*) filter (where revoked_at is null and (expires_at is null or expires_at > $1))::int as n,
                                  min(expires_at) filter (where revoked_at is null and expires_at > $1) as expires_at,
                                  max(last_used_at) as last_used_at
                             from scim_token where provider_id = p.id) t
      where p.name > $2 order by p.name limit $3`,
    [at, after, limit],
  )
}

export interface NewToken {
  readonly id: string
  readonly providerId: string
  readonly hashHex: string
  readonly at: Date
  /** Who made it, or rotated it into being; null: nobody is on record. */
  readonly makers: readonly string[] | null
}

export async function insertToken(tx: Tx, token: NewToken): Promise<void> {
  const { id, providerId, hashHex, at, makers } = token
  await tx.query("insert into scim_token (id, provider_id, hash, created_at, makers) values ($1, $2, decode($3, 'hex'), $4, $5)", [
    ...[id, providerId, hashHex, at, makers],
  ])
}

/** Those without an end get one; those that end sooner keep it. Resolves with their ids. */
export async function expireTokens(tx: Tx, providerId: string, at: Date): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `update scim_token set expires_at = $2
      where provider_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2) returning id`,
    [providerId, at],
  )
  return rows.map(({ id }) => id)
}

export async function revokeTokens(tx: Tx, providerId: string, at: Date): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `update scim_token set revoked_at = $2
      where provider_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2) returning id`,
    [providerId, at],
  )
  return rows.map(({ id }) => id)
}

export interface TokenRow extends ProviderRow {
  readonly token_id: string
  readonly last_used_at: Date | null
}

/** Found through the unique index on the hash: what is compared in time that may depend on content is a hash, never the token. */
export async function providerOfToken(sql: Sql, hashHex: string, at: Date): Promise<TokenRow | null> {
  const [row] = await sql.query<TokenRow>(
    `select p.id, p.name, p.tenancy, p.offboard_after_seconds, p.created_at, t.id as token_id, t.last_used_at
       from scim_token t join scim_provider p on p.id = t.provider_id
      where t.hash = decode($1, 'hex') and t.revoked_at is null and (t.expires_at is null or t.expires_at > $2)`,
    [hashHex, at],
  )
  return row ?? null
}

export async function touchToken(sql: Sql, id: string, at: Date): Promise<void> {
  await sql.query('update scim_token set last_used_at = $2 where id = $1', [id, at])
}

import type { Rewrap } from '../../keys/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import type { ProvenAal } from '../session.model.ts'

/** By which a client proves itself to a provider (OpenID Connect Core section 9). */
export type ClientAuthMethod = 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'

export interface ProviderRow {
  readonly id: string
  readonly name: string
  readonly issuer: string
  readonly client_id: string
  readonly auth: ClientAuthMethod
  readonly kek_id: string | null
  readonly wrapped_key: Uint8Array | null
  readonly sealed: Uint8Array | null
  readonly scopes: string
  readonly acr: Readonly<Record<string, ProvenAal>>
  readonly amr: Readonly<Record<string, ProvenAal>>
  readonly aal: 1 | 2
  readonly max_age_seconds: number
  readonly link_by_email: boolean
  readonly created_at: Date
}

const COLUMNS = `id, name, issuer, client_id, auth, kek_id, wrapped_key, sealed, scopes, acr, amr, aal, max_age_seconds, link_by_email,
  created_at`

/** What binds a provider's wrapped data key to its row. */
export function providerKeyBound(id: string): string {
  return `login provider ${id} data key`
}

/** What binds a provider's sealed secret to its row. */
export function providerSecretBound(id: string): string {
  return `login provider ${id} secret`
}

/** False if the name or the issuer is taken. */
export async function insertProvider(tx: Tx, row: Omit<ProviderRow, 'created_at'>, makers: readonly string[] | null): Promise<boolean> {
  const done = await tx.query(
    `insert into login_provider (id, name, issuer, client_id, auth, kek_id, wrapped_key, sealed, scopes, acr, amr, aal, max_age_seconds,
                                 link_by_email, makers)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $13, $14, $15) on conflict do nothing returning id`,
    [
      row.id,
      row.name,
      row.issuer,
      row.client_id,
      row.auth,
      row.kek_id,
      row.wrapped_key,
      row.sealed,
      row.scopes,
      JSON.stringify(row.acr),
      JSON.stringify(row.amr),
      row.aal,
      row.max_age_seconds,
      row.link_by_email,
      makers,
    ],
  )
  return done.length === 1
}

export async function listProviders(sql: Sql): Promise<ProviderRow[]> {
  return sql.query(`select ${COLUMNS} from login_provider order by name`)
}

export async function providerNamed(sql: Sql, name: string): Promise<ProviderRow | null> {
  const [row] = await sql.query<ProviderRow>(`select ${COLUMNS} from login_provider where name = $1`, [name])
  return row ?? null
}

export async function providerById(sql: Sql, id: string): Promise<ProviderRow | null> {
  const [row] = await sql.query<ProviderRow>(`select ${COLUMNS} from login_provider where id = $1`, [id])
  return row ?? null
}

export async function deleteProvider(tx: Tx, id: string): Promise<void> {
  await tx.query('delete from login_provider where id = $1', [id])
}

/** Wraps the data keys of providers' secrets with the active key-encryption key, some at a time. */
export const rewrapLogins: Rewrap = async (tx, kekId, limit, again) => {
  const rows = await tx.query<{ id: string; wrapped_key: Uint8Array }>(
    'select id, wrapped_key from login_provider where kek_id = $1 order by id limit $2 for update',
    [kekId, limit],
  )
  for (const { id, wrapped_key } of rows) {
    const made = await again(wrapped_key, providerKeyBound(id))
    await tx.query('update login_provider set kek_id = $2, wrapped_key = $3 where id = $1', [id, made.kekId, made.wrapped])
  }
  return rows.length
}

import type { Sql } from '../store/index.ts'

/** A token's row, for comparing; `hash` in hex. Of the columns by their names. */
export interface StoredToken {
  readonly id: string
  readonly name: string
  readonly hash: string
  readonly makers: string[] | null
  readonly identity_id: string | null
  readonly follows_identity: boolean
  readonly acts_for_id: string | null
  readonly scope: string[] | null
  readonly environments: string[] | null
  readonly expires_at: Date | null
  readonly created_by: string
  readonly replaced_by: string | null
  readonly revoked_at: Date | null
  readonly revoked_by: string | null
  readonly revoke_reason: string | null
  readonly forced: boolean
  readonly proven_dead_at: Date | null
}

/** Every token. */
export async function allTokens(sql: Sql): Promise<StoredToken[]> {
  return sql.query(
    `select id, name, encode(hash, 'hex') as hash, makers, identity_id, follows_identity, acts_for_id, scope, environments, expires_at,
            created_by, replaced_by, revoked_at, revoked_by, revoke_reason, forced, proven_dead_at
       from api_token order by id`,
  )
}

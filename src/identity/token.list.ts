import type { Allowed } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { TokenView } from './token.model.ts'
import * as rows from './token.store.ts'

/** Which tokens a page shows. */
export interface TokenQuery {
  /** True: those that have ended too. */
  readonly ended: boolean
  /** Id of whose they are, or of whom they act for; null: all. */
  readonly identity: string | null
  /** Id of the last one of the page before. */
  readonly after: string | null
  readonly limit: number
}

/** Tokens, oldest first, of those that the asker may list. `next` is the cursor of what follows; null at the end. */
export async function readTokens(
  sql: Sql,
  may: Allowed<'token:list'>,
  query: TokenQuery,
): Promise<{ items: TokenView[]; next: string | null }> {
  const found = await tokensOnRecord(sql, { ...query, limit: query.limit + 1 })
  const page = found.slice(0, query.limit)
  const items = page.filter(({ id, identity, environments }) =>
    (environments ?? [undefined]).every((environment) => may.can({ type: 'token', id, owner: identity?.id, environment })),
  )
  return { items, next: found.length > query.limit ? (page.at(-1)?.id ?? null) : null }
}

/** The same for the areas that count tokens among the credentials: what can be used now, what to revoke with whom. Nothing is left out. */
export async function tokensOnRecord(sql: Sql, query: TokenQuery): Promise<TokenView[]> {
  return (await rows.listTokens(sql, query)).map(viewOf)
}

function viewOf(row: rows.Whole): TokenView {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    identity: row.identity === null ? null : { id: row.identity, name: row.identity_name },
    actsFor: row.acts_for === null ? null : { id: row.acts_for, name: row.acts_for_name },
    roles: row.roles,
    followsIdentity: row.follows,
    scope: row.scope,
    environments: row.environments,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
    revokeReason: row.revoke_reason,
    replacedBy: row.replaced_by,
    provenDeadAt: row.proven_dead_at,
  }
}

import { pageOfSeenById } from '../kernel/index.ts'
import type { Allowed, Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { activeIdentity, identityPrincipal } from './delegate.ts'
import { setInForce } from './policyset.inforce.ts'
import { isBeyond } from './token.cover.ts'
import type { TokenView } from './token.model.ts'
import * as rows from './token.store.ts'

/** Which tokens a page shows. */
export interface TokenQuery {
  /** True: those that have ended too. */
  readonly ended: boolean
  /** Id of whose they are, of whom they act for, or of who made them; null: all. */
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
  const isMine = ({ id, identity, environments }: TokenView) =>
    (environments ?? [undefined]).every((environment) => may.can({ type: 'token', id, owner: identity?.id, environment }))
  return pageOfSeenById(query, {
    read: (after, limit) => tokensOnRecord(sql, { ...query, after, limit }),
    mine: (found) => found.filter(isMine),
  })
}

/** The same for the areas that count tokens among the credentials: what can be used now, what to revoke with whom. Nothing is left out. */
export async function tokensOnRecord(sql: Sql, query: TokenQuery): Promise<TokenView[]> {
  return (await rows.listTokens(sql, query)).map(viewOf)
}

/** A token that somebody should do something about. */
export interface TokenMatter {
  readonly id: string
  readonly name: string
  /** Id of whose it is. */
  readonly identity: string | null
  /** Names of makers who are not active, for which it is refused; null: nobody on record made it, and it is nobody's. */
  readonly stoppedFor: readonly string[] | null
  readonly since: Date
}

/**
 * For the area that shows findings: good tokens that nobody stands behind, and those that their identity lacks since a maker is not active.
 */
export async function tokenMatters(sql: Sql, after: string | null, limit: number): Promise<TokenMatter[]> {
  const found = await rows.unsafeTokens(sql, after, limit)
  return found.map(({ id, name, identity, makers, created_at }) => ({ id, name, identity, stoppedFor: makers, since: created_at }))
}

/** A token of a program that can do more than one of the people who made it. */
export interface BeyondMaker {
  readonly id: string
  readonly name: string
  readonly identity: string | null
  /** Names of those people. */
  readonly makers: readonly string[]
  readonly since: Date
}

/**
 * Good tokens that a program holds or has made, and that one of the people who made them could not make any more, under the policies in
 * force: some after the one with this id, and the last one's id (null at the end).
 */
export async function tokensBeyondMakers(
  sql: Sql,
  after: string | null,
  limit: number,
): Promise<{ readonly found: BeyondMaker[]; readonly last: string | null }> {
  const all = await rows.tokensOfPrograms(sql, after, limit)
  const last = all.length < limit ? null : (all.at(-1)?.id ?? null)
  const set = all.length === 0 ? null : await setInForce(sql)
  if (set === null) return { found: [], last }
  const makers = new Map<string, Principal | null>()
  for (const id of new Set(all.flatMap(({ people }) => people))) {
    const row = await activeIdentity(sql, id)
    makers.set(id, row === null ? null : await identityPrincipal(sql, row, 'none', { scope: null, environments: null }))
  }
  const found = all.flatMap(({ people, roles, scope, created_at: since, id, name, identity }) => {
    const behind = people.flatMap((one) => makers.get(one) ?? []).filter((maker) => isBeyond(set, { roles, scope }, maker))
    return behind.length === 0 ? [] : [{ id, name, identity, makers: behind.map((one) => one.name), since }]
  })
  return { found, last }
}

function viewOf(row: rows.Whole): TokenView {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    identity: row.identity === null ? null : { id: row.identity, name: row.identity_name },
    actsFor: row.acts_for === null ? null : { id: row.acts_for, name: row.acts_for_name },
    makers: row.makers?.map((id, at) => ({ id, name: row.maker_names?.[at] ?? null })) ?? null,
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

import { append } from '../evidence/index.ts'
import { type Ctx, newId, type Secret } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { boundFor } from './delegate.ts'
import { tokenDigest } from './fsck.ts'
import { rolesOf } from './role.list.ts'
import { addBinding } from './role.store.ts'
import { teamsOf } from './team.actions.ts'
import { boundsOf } from './token.bounds.ts'
import * as rows from './token.store.ts'
import { isMistyped, newTokenText } from './token.text.ts'

/** Of the first token; src/policy/default/bootstrap-admin.cedar says what it may do and why. */
const BOOTSTRAP_ROLE = 'bootstrap-admin'

/** A token that is good, and who it says asks. */
export interface TokenProof {
  readonly tokenId: string
  readonly principal: Principal
}

/**
 * Whose token this is; `null` if nobody's, if it was revoked or has ended, or if its identity, whom it acts for or one of its makers is
 * not active. The database is asked each time, so that a token is refused from the next request on. Throws `unavailable` when the database
 * does not answer.
 */
export async function authenticate(sql: Sql, ctx: Ctx, token: Secret): Promise<Principal | null> {
  return (await proofOf(sql, ctx, token))?.principal ?? null
}

/** The same, with which token it is. */
export async function proofOf(sql: Sql, ctx: Ctx, token: Secret): Promise<TokenProof | null> {
  if (token.revealText(isMistyped)) return null
  return proofByHash(sql, ctx, sha256Hex(token))
}

/** The same by the hash, for the server's own attempt at a token that has ended. */
export async function proofByHash(sql: Sql, ctx: Ctx, hashHex: string): Promise<TokenProof | null> {
  const row = await rows.tokenByHash(sql, hashHex)
  const principal = row === null ? null : await principalOf(sql, ctx, row)
  return row === null || principal === null ? null : { tokenId: row.id, principal }
}

/** Who asks with this token, without its text: for what it began and somebody else finishes. Null as for `authenticate`. */
export async function principalOfToken(sql: Sql, ctx: Ctx, id: string): Promise<Principal | null> {
  const row = await rows.tokenById(sql, id)
  return row === null ? null : principalOf(sql, ctx, row)
}

/** A token that belongs to no identity is limited by its roles alone; one of an agent is that agent, bounded by whom it acts for. */
async function principalOf(sql: Sql, ctx: Ctx, row: rows.TokenRow): Promise<Principal | null> {
  const { id, name, identity, scope, environments, makers } = row
  const programs = row.follows || (row.kind !== null && row.kind !== 'human')
  const makersNow = programs ? [] : await boundsOf(sql, ctx, makers)
  const teams = row.follows && identity !== null ? await teamsOf(sql, identity) : []
  const held = row.follows ? await rolesOf(sql, { identity, teams, token: id }) : { roles: row.roles }
  const plain = {
    name,
    identity,
    ...held,
    teams,
    aal: 0,
    authenticatedAt: null,
    attestation: 'token',
    scope,
    environments,
    makers,
  } as const
  if (row.kind !== 'agent' || identity === null) {
    return { ...plain, id, kind: 'token', actsFor: null, ...(makersNow.length === 0 ? {} : { makersNow }) }
  }
  const within = row.acts_for === null ? null : await boundFor(sql, row.acts_for, ctx.clock.now(), { scope, environments })
  if (within === null || within.identity === null) return null
  return { ...plain, id: identity, kind: 'agent', actsFor: { identity: within.identity }, within }
}

/**
 * Makes the admin token if there is no good token; resolves with whether it did. Makes none where somebody took the last one away on
 * purpose, by force. `write` gets the token's text and must put it in place whole before it resolves; an older one is kept, since another
 * database may know it. Only the hash is stored.
 *
 * The file is written before the commit, under a lock. A crash between the two leaves a file with a token that no database knows, and
 * the next start makes a new one and keeps that file beside. The other order could leave a stored token that nobody has ever seen, and no
 * start would make another: the operator would be locked out. To get a new token for a lost one, revoke the lost one's row.
 */
export async function ensureAdminToken(store: Store, ctx: Ctx, write: (token: string) => Promise<void>): Promise<boolean> {
  return store.inTx(async (tx) => {
    await rows.lockTokens(tx)
    if ((await rows.hasGoodToken(tx)) || (await rows.wasForced(tx))) return false
    const text = newTokenText()
    await text.revealText(write)
    const id = newId(ctx.clock.now().getTime())
    const limits = { identity: null, follows: false, actsFor: null, scope: null, environments: null, expiresAt: null }
    const hashHex = sha256Hex(text)
    await rows.insertToken(tx, { id, name: 'admin', hashHex, ...limits, createdBy: 'setup', makers: [] })
    await addBinding(tx, ctx, { role: BOOTSTRAP_ROLE, kind: 'token', id, reason: 'the first token of this installation' })
    await append(tx, ctx, [
      {
        log: 'identity',
        type: 'token.created',
        subject: 'admin',
        links: { token: id },
        data: { role: BOOTSTRAP_ROLE, makers: [], digest: tokenDigest(hashHex) },
      },
      { log: 'identity', type: 'role.bound', subject: BOOTSTRAP_ROLE, links: { token: id }, data: { to: 'token', name: 'admin' } },
    ])
    return true
  })
}

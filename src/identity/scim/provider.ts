import { append, type EvidenceEvent } from '../../evidence/index.ts'
import { type Ctx, INVISIBLE, type Json, newId, RekeyError, Secret } from '../../kernel/index.ts'
import type { Allowed, Policies, Principal } from '../../policy/index.ts'
import { randomSecret, sha256Hex } from '../../seal/index.ts'
import type { Sql, Store, Tx } from '../../store/index.ts'
import { scimTokenDigest } from '../rights.story.ts'
import { SCIM_ROLE } from '../role.store.ts'
import type { ProviderRow } from './provider.store.ts'
import * as rows from './provider.store.ts'
import { settleMakers } from './settle.ts'

/** 256 bits: nobody guesses one, so a plain SHA-256 of it may be stored and looked up. */
const TOKEN_BYTES = 32
const NAME_CHARS = 60
/** How exactly the last use of a token is known, milliseconds: a busy provider does not write at every request. */
const USE_MS = 60_000
const DAY_SECONDS = 86_400

/** From `active: false` to offboarding unless the provider was given another delay, seconds. */
export const OFFBOARD_AFTER_SECONDS = 7 * DAY_SECONDS
/** The longest delay, and the longest overlap of two tokens, seconds. */
export const OFFBOARD_AFTER_MAX_SECONDS = 366 * DAY_SECONDS
export const OVERLAP_MAX_SECONDS = 30 * DAY_SECONDS
/** How long the old token stays good after a rotation unless told otherwise, seconds. */
export const OVERLAP_SECONDS = DAY_SECONDS

/** An identity provider that has proven itself by its token. It sees and changes only what it made. */
export interface ScimClient {
  readonly providerId: string
  readonly provider: string
  readonly tokenId: string
  readonly tenancy: string
  readonly offboardAfterSeconds: number
  /** What its token allows: to push, and nothing under /v1. */
  readonly may: Allowed<'scim:push'>
}

/** A provider as it is listed. */
export interface ScimProvider {
  readonly id: string
  readonly name: string
  readonly tenancy: string
  readonly offboardAfterSeconds: number
  readonly createdAt: Date
  readonly users: number
  readonly groups: number
  /** Tokens that are good now: 0 after it was revoked, 2 while an old one overlaps. */
  readonly tokens: number
  /** When the old one of two tokens ends. */
  readonly oldTokenEndsAt: Date | null
  /** To the minute. */
  readonly lastUsedAt: Date | null
}

/** A provider's new token: its only copy. */
export interface NewToken {
  readonly provider: string
  readonly token: Secret
  /** When the token before it ends; null if there was none. */
  readonly oldTokenEndsAt: Date | null
}

export interface ProviderFields {
  readonly name: string
  readonly tenancy?: string | undefined
  readonly offboardAfterSeconds?: number | undefined
}

/**
 * Adds an identity provider with its first token (`scim_provider.added`, log identity). Throws `conflict` if the name is taken,
 * `bad_input` for a name that cannot be shown.
 */
export async function addProvider(store: Store, ctx: Ctx, _may: Allowed<'scim:configure'>, fields: ProviderFields): Promise<NewToken> {
  const { name, tenancy = 'default', offboardAfterSeconds = OFFBOARD_AFTER_SECONDS } = fields
  if (name.length > NAME_CHARS || name.trim() !== name || name === '' || INVISIBLE.test(name)) {
    throw new RekeyError('bad_input', `The name of a provider has 1 to ${NAME_CHARS} visible characters.`)
  }
  const now = ctx.clock.now()
  const row: ProviderRow = { id: newId(now.getTime()), name, tenancy, offboard_after_seconds: offboardAfterSeconds, created_at: now }
  return store.inTx(async (tx) => {
    if (!(await rows.insertProvider(tx, row))) throw new RekeyError('conflict', `There is a provider called ${name} already.`)
    const { token, made } = await addToken(tx, ctx, row)
    await append(tx, ctx, [eventOf('scim_provider.added', row, { tenancy, offboardAfterSeconds, ...made, makers: ctx.behind })])
    return { provider: name, token, oldTokenEndsAt: null }
  })
}

/**
 * Gives a provider a new token; those before it stay good for `overlapSeconds` (`scim_provider.token_rotated`). Also after it was
 * revoked. Throws `not_found`.
 */
export async function rotateProviderToken(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'scim:configure'>,
  name: string,
  overlapSeconds: number = OVERLAP_SECONDS,
): Promise<NewToken> {
  return store.inTx(async (tx) => {
    const row = (await rows.lockProvider(tx, name)) ?? missing(name)
    const end = new Date(ctx.clock.now().getTime() + overlapSeconds * 1000)
    const old = await rows.expireTokens(tx, row.id, end)
    const { token, made } = await addToken(tx, ctx, row)
    const ended = { ended: old, oldEndsAt: end.toISOString() }
    await append(tx, ctx, [
      eventOf('scim_provider.token_rotated', row, { overlapSeconds, replaced: old.length, ...ended, ...made, makers: ctx.behind }),
    ])
    return { provider: name, token, oldTokenEndsAt: old.length > 0 ? end : null }
  })
}

/**
 * Revokes every token of a provider at once (`scim_provider.revoked`); resolves with how many. What it made stays. Throws `not_found`.
 */
export async function revokeProvider(store: Store, ctx: Ctx, _may: Allowed<'scim:configure'>, name: string): Promise<number> {
  return store.inTx(async (tx) => {
    const row = (await rows.lockProvider(tx, name)) ?? missing(name)
    const now = ctx.clock.now()
    const revoked = await rows.revokeTokens(tx, row.id, now)
    const facts = { tokens: revoked, revokedAt: now.toISOString() }
    if (revoked.length > 0) await append(tx, ctx, [eventOf('scim_provider.revoked', row, facts)])
    await settleMakers(tx)
    return revoked.length
  })
}

/** Providers by name, after the one called `after`. */
export async function listProviders(
  sql: Sql,
  ctx: Ctx,
  _may: Allowed<'scim:read'>,
  page: { readonly after?: string | undefined; readonly limit: number },
): Promise<ScimProvider[]> {
  const found = await rows.listProviders(sql, ctx.clock.now(), page.after ?? '', page.limit)
  return found.map(({ id, name, tenancy, offboard_after_seconds, created_at, users, groups, tokens, expires_at, last_used_at }) => ({
    id,
    name,
    tenancy,
    offboardAfterSeconds: offboard_after_seconds,
    createdAt: created_at,
    users,
    groups,
    tokens,
    oldTokenEndsAt: expires_at,
    lastUsedAt: last_used_at,
  }))
}

/**
 * Which provider a bearer token is of; null if of none, or if it was revoked or has ended. The database is asked each time, so that a
 * revoked token is refused from the next request on. Throws `unavailable` when the database does not answer, `forbidden` if the policies
 * in force let no provider push.
 */
export async function authenticateScim(sql: Sql, ctx: Ctx, policies: Policies, token: Secret): Promise<ScimClient | null> {
  const now = ctx.clock.now()
  const row = await rows.providerOfToken(sql, sha256Hex(token), now)
  if (row === null) return null
  if (now.getTime() - (row.last_used_at?.getTime() ?? 0) >= USE_MS) await rows.touchToken(sql, row.token_id, now)
  return {
    providerId: row.id,
    provider: row.name,
    tokenId: row.token_id,
    tenancy: row.tenancy,
    offboardAfterSeconds: row.offboard_after_seconds,
    may: policies.allow(ctx, principalOf(row), 'scim:push'),
  }
}

/** A provider's token holds one role and nothing else can be bound to it: it stands in no table that bindings name. */
function principalOf({ token_id, name }: rows.TokenRow): Principal {
  const proof = { aal: 0, authenticatedAt: null, attestation: 'token', actsFor: null, scope: ['scim:push'], environments: null } as const
  return { id: token_id, kind: 'token', identity: null, name, roles: [SCIM_ROLE], teams: [], ...proof }
}

/** `made`: what the event that tells of it says. */
async function addToken(tx: Tx, ctx: Ctx, provider: ProviderRow) {
  const token = randomSecret(TOKEN_BYTES).reveal((bytes) => Secret.fromText(`rekey_scim_${Buffer.from(bytes).toString('base64url')}`))
  const now = ctx.clock.now()
  const fresh = { id: newId(now.getTime()), providerId: provider.id, hashHex: sha256Hex(token), at: now, makers: ctx.behind }
  await rows.insertToken(tx, fresh)
  return { token, made: { token: fresh.id, digest: scimTokenDigest(fresh.hashHex) } }
}

function eventOf(type: string, { id, name }: ProviderRow, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { scim_provider: id }, data }
}

function missing(name: string): never {
  throw new RekeyError('not_found', `No such provider: ${name}`)
}

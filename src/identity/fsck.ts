import { canonicalJson, type EventBody, eachEvent } from '../evidence/index.ts'
import { type Json, timeText } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { allTokens, type StoredToken } from './token.fsck.store.ts'

/** What the log keeps of a token: a digest of the stored hash, which is itself one of 256 random bits. */
export function tokenDigest(hashHex: string): string {
  return digestHex(`token ${hashHex}`)
}

/** What the log tells of one token so far. What an event from before did not tell is undefined, and is not compared. */
interface Told {
  readonly digest: Json | undefined
  readonly makers: Json | undefined
  /** By the name of the column. */
  readonly facts: { readonly [column: string]: Json | undefined }
}

/** Facts that nothing changes once a token is made; a rotation hands all but who made it on. */
const LIMITS = ['identity_id', 'follows_identity', 'acts_for_id', 'scope', 'environments']
const NOT_ENDED = { replaced_by: null, revoked_at: null, revoked_by: null, revoke_reason: null, forced: false, proven_dead_at: null }

/**
 * Compares every token with the log: what it was made with, what took its place, its end, who revoked it and why, and its proof of
 * death. Names tokens that no event tells of, and those that are gone from the table. Not compared: when a row was made, when it was
 * last used; and that a token was revoked in the table alone, which opens nothing, and is how an operator gets a new first token.
 * `sql` should be one snapshot. Writes nothing. Throws what the database does.
 */
export async function tokenFindings(sql: Sql): Promise<{ readonly where: string; readonly what: string }[]> {
  const told = new Map<string, Told>()
  for await (const event of eachEvent(sql, 'identity')) follow(told, event)
  const findings = (await allTokens(sql)).flatMap(({ id, hash, makers, ...stored }) => {
    const where = `token ${stored.name} ${id}`
    const made = told.get(id)
    told.delete(id)
    if (made === undefined) return [{ where, what: 'The table has it; the log knows nothing of it.' }]
    return [
      ...(made.digest === tokenDigest(hash) ? [] : [{ where, what: 'Its hash is not that of the token that was made.' }]),
      // Events from before makers were kept say nothing of them.
      ...(made.makers === undefined || same(made.makers, makers) ? [] : [{ where, what: 'Those who made it are others by the log.' }]),
      ...differences(stored, made.facts).map((what) => ({ where, what })),
    ]
  })
  const gone = [...told].map(([id, { facts }]) => ({ where: `token ${facts.name} ${id}`, what: 'The log knows it; the table does not.' }))
  return [...findings, ...gone]
}

function follow(told: Map<string, Told>, { type, subject, actor, links, data }: EventBody): void {
  const id = links.token
  if (id === undefined) return
  const change = (of: string, facts: Told['facts']) => {
    const before = told.get(of)
    if (before !== undefined) told.set(of, { ...before, facts: { ...before.facts, ...facts } })
  }
  if (type === 'token.created') {
    const facts = { name: subject, identity_id: links.identity ?? null, ...limitsOf(data), ...NOT_ENDED }
    told.set(id, { digest: data.digest, makers: data.makers, facts: { ...facts, created_by: isFirst(data) ? 'setup' : actor } })
  } else if (type === 'token.rotated') {
    const old = String(data.replaces)
    const { facts = {} } = told.get(old) ?? {}
    const limits = Object.fromEntries(LIMITS.map((name) => [name, facts[name]]))
    const own = { name: subject, ...limits, ...NOT_ENDED, created_by: actor, expires_at: data.expiresAt }
    told.set(id, { digest: data.digest, makers: data.makers, facts: own })
    change(old, { replaced_by: id, expires_at: data.oldEndsAt })
  } else if (type === 'token.revoked') {
    // Events from before the time was told do not tell either whether it was the last way in.
    const forced = data.revokedAt === undefined && data.forced === true ? undefined : data.lastWayIn === true
    change(id, { revoked_at: data.revokedAt, revoked_by: actor, revoke_reason: data.reason, forced })
  } else if (type === 'token.proven_dead') {
    change(id, { proven_dead_at: data.provenDeadAt })
  }
}

/** The first token of an installation, which is made without anybody asking, and is limited by nothing. */
function isFirst({ roles }: EventBody['data']): boolean {
  return roles === undefined
}

function limitsOf(data: EventBody['data']): Told['facts'] {
  if (isFirst(data)) return { follows_identity: false, acts_for_id: null, scope: null, environments: null, expires_at: null }
  const { scope, environments, actsFor = null, followsIdentity = false, expiresAt } = data
  return { follows_identity: followsIdentity, acts_for_id: actsFor, scope, environments, expires_at: expiresAt }
}

function differences(stored: Omit<StoredToken, 'id' | 'hash' | 'makers'>, facts: Told['facts']): string[] {
  // In the table alone, and by nobody: see above.
  const byHand = facts.revoked_at === null && stored.revoked_by === null && stored.revoke_reason === null
  return Object.entries(stored).flatMap(([column, value]) => {
    // A time that is none is read as a number without end.
    const at = value instanceof Date || Math.abs(Number(value)) === Number.POSITIVE_INFINITY ? timeText(value) : value
    const log = facts[column]
    if (log === undefined) return column in facts && ENDS.includes(column) && at === null ? [missing(column)] : []
    if (same(log, at) || (column === 'revoked_at' && byHand)) return []
    return [`Its ${column} is ${canonicalJson(at)} by the table, ${canonicalJson(log)} by the log.`]
  })
}

/** Times that were not told by older events, of what they told all the same. */
const ENDS = ['revoked_at', 'proven_dead_at']

function missing(column: string): string {
  return `Its ${column} is missing in the table; the log tells of it.`
}

function same(told: Json, stored: Json): boolean {
  return canonicalJson(told) === canonicalJson(stored)
}

import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, type Json, newId, RekeyError, type Secret } from '../kernel/index.ts'
import { type Allowed, FORCED_REASON_CHARS, holdsBoth, isMine, type Policies, type Principal, type Resource } from '../policy/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { makersBy } from './behind.ts'
import { activeIdentity } from './delegate.ts'
import { tokenDigest } from './fsck.ts'
import { NO_IDENTITY, namingBy, noIdentity } from './naming.ts'
import { lockPolicies } from './policyset.store.ts'
import { type LightRow, lightIdentity } from './record.list.ts'
import { checkText, refuse } from './record.model.ts'
import { familiesOf, requireRole } from './role.actions.ts'
import { requireChangeable } from './role.changeable.ts'
import { keepApart, tellForced } from './role.hands.ts'
import { addBinding } from './role.store.ts'
import { requireCover } from './token.cover.ts'
import {
  checkEnvironments,
  checkScope,
  TOKEN_MAX_SECONDS,
  TOKEN_NAME_CHARS,
  TOKEN_OVERLAP_SECONDS,
  TOKEN_SECONDS,
  type TokenInput,
} from './token.model.ts'
import * as rows from './token.store.ts'
import { newTokenText } from './token.text.ts'

/** What the use cases of tokens stand on. */
export interface TokenParts {
  readonly store: Store
  readonly policies: Policies
  /** The longest life of a token; 90 days unless given. */
  readonly tokenMaxSeconds?: number
}

/** A token that was just made: the only copy of its text. */
export interface MadeToken {
  readonly id: string
  readonly name: string
  readonly token: Secret
  readonly expiresAt: Date | null
  /** When the text that it takes the place of ends; null if there was none. */
  readonly oldEndsAt: Date | null
}

interface Checked {
  readonly identity: string | null
  readonly actsFor: string | null
  readonly follows: boolean
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
}

/**
 * Makes a token (`token.created`, `role.bound` for each of its roles). It never has more rights than who makes it, nor a longer life
 * than the maker's own token. Without a role it follows its identity, which must be the maker's own. One of an agent names whom it acts
 * for, a scope and environments. Throws `bad_input`; `forbidden` if it could do more than its maker; `conflict` for a name that a good
 * token has; `wrong_state` if it would hold both hands, or whoever it is of would by it, and it is not forced; `not_found`, also for an
 * identity that is not active, and in the words for none for one that the asker may neither name (`namingBy`) nor make a token of.
 */
export async function createToken(
  parts: TokenParts,
  ctx: Ctx,
  may: Allowed<'token:create'>,
  by: Principal,
  input: TokenInput,
): Promise<MadeToken> {
  const name = checkText('name', input.name, TOKEN_NAME_CHARS)
  if (isId(name)) refuse('The name has the form of an id.')
  for (const role of input.roles) requireRole(parts.policies.set, role)
  requireOneHand(parts, input)
  return parts.store.inTx(async (tx) => {
    await lockPolicies(tx)
    await rows.lockTokens(tx)
    const id = newId(ctx.clock.now().getTime())
    const naming = namingBy(parts.policies, ctx, by)
    // Who may make a token of somebody where they are may name them: whoever keeps the tokens need not read the record.
    const known = (it: LightRow | null) =>
      may.can({ type: 'token', id, owner: it?.id, environment: (it ?? NO_IDENTITY).environment }) && it !== null
    const checked = await check(tx, input, (it) => known(it) || naming.identity(it))
    for (const resource of resourcesOf(id, checked)) may.check(resource)
    if (checked.follows) requireSelf(by, checked)
    else requireCover(ctx, parts.policies, by, onPaper(id, name, input.roles, checked))
    if ((await rows.lockGood(tx, name)).length > 0) throw new RekeyError('conflict', `There is a token called ${name} already.`)
    const expiresAt = await endOf(tx, ctx, parts, by.kind === 'token' ? by.id : null, input.expiresSeconds)
    const makers = await livingMakers(tx, by)
    const { made: token, people } = await keepApart(tx, ctx, parts.policies.set, input, () =>
      insert(tx, ctx, { id, name, ...checked, expiresAt, makers }, input.roles, input.reason),
    )
    if (people.length > 0) await tellForced(tx, ctx, { subject: name, links: { token: id }, to: 'token', reason: input.reason }, people)
    const facts = { reason: input.reason, makers, digest: digestOf(token) }
    const data = { roles: [...input.roles], ...limitsData(checked, expiresAt), ...facts }
    await append(tx, ctx, [tokenEvent('token.created', { id, name, identity: checked.identity }, data)])
    return { id, name, token, expiresAt, oldEndsAt: null }
  })
}

type Known = (it: LightRow | null) => boolean

async function check(tx: Tx, input: TokenInput, known: Known): Promise<Checked> {
  const scope = checkScope(input.scope)
  const environments = checkEnvironments(input.environments)
  const identity = input.identity === null ? null : await active(tx, input.identity, known)
  const actsFor = input.actsFor === null ? null : await active(tx, input.actsFor, known)
  const agent = identity?.kind === 'agent'
  if (agent && (actsFor === null || scope === null || environments === null)) {
    refuse('A token of an agent names whom it acts for, a scope and environments.')
  }
  if (!agent && actsFor !== null) refuse('Only a token of an agent acts for somebody.')
  if (actsFor?.kind === 'agent') refuse('An agent does not act for an agent.')
  const follows = input.roles.length === 0
  if (follows && scope === null) refuse('A token has at least one role or a scope.')
  return { identity: identity?.id ?? null, actsFor: actsFor?.id ?? null, follows, scope, environments }
}

async function active(tx: Tx, key: string, known: Known) {
  const light = await lightIdentity(tx, key)
  if (!known(light) || light === null) noIdentity(key)
  const row = await activeIdentity(tx, light.id)
  if (row === null) throw new RekeyError('not_found', 'There is no such identity that is active.')
  return row
}

/** For each environment by itself: who may make tokens in one only must not make one for two. */
function resourcesOf(id: string, { identity, environments }: Pick<Checked, 'identity' | 'environments'>): Resource[] {
  return (environments ?? [undefined]).map((environment) => ({ type: 'token', id, owner: identity ?? undefined, environment }))
}

/** Throws `not_found`, in the same words for tokens that the asker may not touch as for none at all. */
function requireMine(may: Allowed<'token:rotate' | 'token:revoke'>, found: readonly rows.Whole[]): void {
  const mine = found.every((one) => resourcesOf(one.id, one).every((resource) => isMine(may, resource)))
  if (found.length === 0 || !mine) missing()
}

/**
 * A token that follows an identity holds all that the identity does, so only the identity itself may have its text: not another token of
 * it, which may hold less, nor who acts for it. Throws `forbidden`.
 */
function requireSelf(by: Principal, { identity, scope }: Pick<Checked, 'identity' | 'scope'>): void {
  const itself = by.kind !== 'token' && by.within === undefined && identity !== null && by.identity === identity
  if (!itself || (by.scope !== null && !scope?.every((action) => by.scope?.includes(action)))) {
    throw new RekeyError('forbidden', 'A token without roles does what your own identity may do, within your own scope.', {
      hint: 'Name that identity, logged in as it, or give the token roles.',
    })
  }
}

/** The token as it would ask. */
function onPaper(id: string, name: string, roles: readonly string[], checked: Omit<Checked, 'follows'>): Principal {
  const { identity, scope, environments } = checked
  const proof = { aal: 0, authenticatedAt: null, attestation: 'token', actsFor: null } as const
  return { id, kind: 'token', identity, name, roles, teams: [], ...proof, scope, environments }
}

function requireOneHand({ policies }: TokenParts, { roles, force, reason }: TokenInput): void {
  if (!holdsBoth(familiesOf(policies.set, roles))) return
  if (!force) {
    throw new RekeyError('wrong_state', 'It would hold directory rights and credential rights together.', {
      hint: 'Make two tokens, or force it with a reason.',
    })
  }
  if (reason.trim().length < FORCED_REASON_CHARS) refuse(`The reason has at least ${FORCED_REASON_CHARS} characters.`)
}

/**
 * The makers of what this principal makes. Throws `forbidden` where one of them is not active: who left may be who asks, through a rule or
 * an issuer of theirs that nobody has replaced yet, and the token would be refused anyway.
 */
async function livingMakers(tx: Tx, by: Principal): Promise<string[] | null> {
  const makers = makersBy(by)
  const gone = makers === null ? [] : await rows.notActive(tx, makers)
  if (gone.length === 0) return makers
  throw new RekeyError('forbidden', `Who made the rule or the issuer by which you ask is not active: ${gone.join(', ')}.`, {
    hint: 'Let somebody else confirm it or map it anew, or make the token logged in.',
  })
}

/** Its end: never later than that of the token `maker` that makes it. */
async function endOf(sql: Sql, ctx: Ctx, parts: TokenParts, maker: string | null, asked: number | null): Promise<Date> {
  const { tokenMaxSeconds = TOKEN_MAX_SECONDS } = parts
  const seconds = asked ?? Math.min(TOKEN_SECONDS, tokenMaxSeconds)
  if (seconds < 1 || seconds > tokenMaxSeconds) refuse(`A token lives at most ${tokenMaxSeconds} seconds here.`, 'See REKEY_TOKEN_MAX.')
  const end = new Date(ctx.clock.now().getTime() + seconds * 1000)
  const own = maker === null ? null : await rows.expiryOf(sql, maker)
  return own !== null && own < end ? own : end
}

type Fresh = Omit<rows.NewToken, 'hashHex' | 'createdBy'>

async function insert(tx: Tx, ctx: Ctx, fresh: Fresh, roles: readonly string[], reason: string): Promise<Secret> {
  const token = newTokenText()
  await rows.insertToken(tx, { ...fresh, hashHex: sha256Hex(token), createdBy: ctx.actor })
  const { id, name } = fresh
  for (const role of new Set(roles)) await addBinding(tx, ctx, { role, kind: 'token', id, reason })
  const bound = [...new Set(roles)].map(
    (role): EvidenceEvent => ({ log: 'identity', type: 'role.bound', subject: role, links: { token: id }, data: { to: 'token', name } }),
  )
  await append(tx, ctx, bound)
  return token
}

function limitsData({ scope, environments, actsFor, follows }: Checked, expiresAt: Date | null): Record<string, Json> {
  return {
    scope: scope === null ? null : [...scope],
    environments: environments === null ? null : [...environments],
    ...(actsFor === null ? {} : { actsFor }),
    ...(follows ? { followsIdentity: true } : {}),
    expiresAt: expiresAt?.toISOString() ?? null,
  }
}

interface Named {
  readonly id: string
  readonly name: string
  readonly identity: string | null
}

/** An event about a token, joined with the identity that it is of. */
export function tokenEvent(type: string, { id, name, identity }: Named, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { token: id, ...(identity === null ? {} : { identity }) }, data }
}

const digestOf = (token: Secret) => tokenDigest(sha256Hex(token))

/** How a token is to be rotated. */
export interface RotateInput {
  /** Its id or name. */
  readonly token: string
  /** How long the old text stays good; null: as usual. */
  readonly overlapSeconds: number | null
  /** Life of the new text; null: as usual. The token of the first start never ends. */
  readonly expiresSeconds: number | null
}

/**
 * Makes a new text for a token, with the same roles and limits; the old one stays good for the overlap (`token.rotated`). Who rotates
 * gets a text, so it must be that token itself, or have at least its rights; the new token is theirs then (`makers`). Throws
 * `not_found`, `forbidden`; `conflict` if several
 * tokens have the name.
 */
export async function rotateToken(
  parts: TokenParts,
  ctx: Ctx,
  may: Allowed<'token:rotate'>,
  by: Principal,
  { token: key, overlapSeconds, expiresSeconds }: RotateInput,
): Promise<MadeToken> {
  return parts.store.inTx(async (tx) => {
    await rows.lockTokens(tx)
    const found = (await rows.lockGood(tx, key)).filter(({ replaced_by }) => replaced_by === null)
    requireMine(may, found)
    const [old, ...others] = found
    if (old === undefined) missing()
    if (others.length > 0) throw new RekeyError('conflict', 'Several tokens have this name.', { hint: 'Name it by its id.' })
    const { name, identity, scope, environments, acts_for: actsFor, follows, roles } = old
    const checked = { identity, actsFor, follows, scope, environments }
    if (by.id !== old.id) {
      if (follows) requireSelf(by, checked)
      requireCover(ctx, parts.policies, by, onPaper(old.id, name, roles, checked))
    }
    const expiresAt =
      old.expires_at === null ? null : await endOf(tx, ctx, parts, by.kind === 'token' && by.id !== old.id ? by.id : null, expiresSeconds)
    const id = newId(ctx.clock.now().getTime())
    // A new text is known to who gets it, and to nobody before: it is theirs from now on.
    const makers = by.id === old.id ? old.makers : await livingMakers(tx, by)
    const token = await insert(tx, ctx, { id, name, ...checked, expiresAt, makers }, roles, `in place of token ${old.id}`)
    const oldEndsAt = await rows.replaceToken(tx, old.id, id, overlapSeconds ?? TOKEN_OVERLAP_SECONDS)
    const ends = { oldEndsAt: oldEndsAt.toISOString(), expiresAt: expiresAt?.toISOString() ?? null }
    const data = { replaces: old.id, ...ends, makers: makers === null ? null : [...makers], digest: digestOf(token) }
    await append(tx, ctx, [tokenEvent('token.rotated', { id, name, identity }, data)])
    return { id, name, token, expiresAt, oldEndsAt }
  })
}

/** Which tokens are to be revoked, and why. */
export interface RevokeInput {
  /** Id of one, or a name: of all that have it. */
  readonly token: string
  readonly reason: string
  /** True: also if it is the last way in. No start then makes another one. */
  readonly force: boolean
}

/**
 * Revokes tokens (`token.revoked`), from the next request on at every server; resolves with their ids. Throws `not_found`, in the same
 * words for one that the asker may not revoke; `wrong_state` if no good token would be left, or nobody could change policy any more, and it
 * is not forced (the reason then has at least 10 characters).
 */
export async function revokeToken(
  parts: TokenParts,
  ctx: Ctx,
  may: Allowed<'token:revoke'>,
  { token: key, reason, force }: RevokeInput,
): Promise<string[]> {
  if (force && reason.trim().length < FORCED_REASON_CHARS) refuse(`The reason has at least ${FORCED_REASON_CHARS} characters.`)
  return parts.store.inTx(async (tx) => {
    await rows.lockTokens(tx)
    const found = await rows.lockGood(tx, key)
    requireMine(may, found)
    const ids = found.map(({ id }) => id)
    const revokedAt = await rows.revokeTokens(tx, ids, ctx.actor, reason)
    if (!force) await requireWayIn(tx, ctx, parts)
    const lastWayIn = force && !(await rows.hasGoodToken(tx))
    if (lastWayIn) await rows.markForced(tx, ids)
    const marks = { ...(force ? { forced: true } : {}), ...(lastWayIn ? { lastWayIn } : {}) }
    await append(
      tx,
      ctx,
      found.map((one) => tokenEvent('token.revoked', one, { reason, revokedAt: revokedAt.toISOString(), ...marks })),
    )
    return ids
  })
}

async function requireWayIn(tx: Tx, ctx: Ctx, { policies }: TokenParts): Promise<void> {
  if (!(await rows.hasGoodToken(tx))) {
    throw new RekeyError('wrong_state', 'It is the last good token.', { hint: 'Rotate it, or force it with a reason.' })
  }
  await requireChangeable(tx, ctx, policies.set)
}

function missing(): never {
  throw new RekeyError('not_found', 'There is no such token that is good.')
}

/**
 * Revokes every token of an identity, every one that acts for it and every one that it made, in the caller's transaction (`token.revoked`);
 * resolves with their ids. For the cascade: it does not ask whether a way in is left, since a token of somebody who has gone is none.
 */
export async function revokeTokensOf(tx: Tx, ctx: Ctx, identityId: string, reason: string): Promise<string[]> {
  await rows.lockTokens(tx)
  const found = await rows.lockTokensOf(tx, identityId)
  const ids = found.map(({ id }) => id)
  if (ids.length === 0) return []
  const revokedAt = await rows.revokeTokens(tx, ids, ctx.actor, reason)
  await append(
    tx,
    ctx,
    found.map((one) => tokenEvent('token.revoked', one, { reason, revokedAt: revokedAt.toISOString(), cascade: identityId })),
  )
  return ids
}

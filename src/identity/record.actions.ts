import type { Ctx } from '../kernel/index.ts'
import { type Allowed, FORCED_REASON_CHARS, isMine, type Policies, type Principal } from '../policy/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { requireApproval, withApproval } from './approval.gate.ts'
import type { Approvable } from './approval.model.ts'
import { refuseOneself } from './behind.ts'
import type { JoinFields } from './lifecycle.fields.ts'
import { joinIdentity } from './lifecycle.join.ts'
import { type MoveChange, moveIdentity } from './lifecycle.move.ts'
import { findOwner } from './lifecycle.owners.ts'
import { barIdentity, offboardIdentity, resumeIdentity } from './lifecycle.status.ts'
import { identityResource, NO_IDENTITY, nameIdentity, namingBy, noIdentity } from './naming.ts'
import { lockPolicies } from './policyset.store.ts'
import { type IdentityFilter, identitiesSeen, identityNamed, lightIdentity, type NamePage } from './record.list.ts'
import type { IdentityDetail, IdentityRecord } from './record.model.ts'
import { DEFAULT_TENANCY, refuse } from './record.model.ts'
import { stayChangeable } from './role.changeable.ts'
import { holdsRoles } from './role.store.ts'

/** What the use cases of the record need of the process. */
export interface RecordParts {
  readonly store: Store
}

/** An identity that joins by hand: owner and manager as a user writes them, by name or id. */
export interface JoinInput extends Omit<JoinFields, 'owner' | 'manager' | 'source' | 'externalIds'> {
  readonly owner?: string
  readonly manager?: string | null
}

/** What of an identity changes by hand. */
export interface MoveInput extends Omit<MoveChange, 'owner' | 'manager' | 'source' | 'externalIds'> {
  readonly owner?: string
  readonly manager?: string | null
}

/** A page of what the asker may read; `next` is the cursor of what follows, null at the end. See `pageOfSeen` for very long lists. */
export async function readIdentities(
  parts: RecordParts,
  _ctx: Ctx,
  may: Allowed<'identity:read'>,
  filter: IdentityFilter,
  page: NamePage,
): Promise<{ readonly items: IdentityRecord[]; readonly next: string | null }> {
  return identitiesSeen(parts.store, filter, page, (row) => may.can(identityResource(row)))
}

/** One identity by id or name. Throws `not_found`, in the same words for one that the asker may not read. */
export async function readIdentity(
  parts: RecordParts,
  _ctx: Ctx,
  may: Allowed<'identity:read'>,
  idOrName: string,
): Promise<IdentityDetail> {
  const light = await lightIdentity(parts.store, idOrName)
  // Decided also for what is not there, so that both take the same time; the whole is read for whom it is.
  if (!may.can(identityResource(light ?? NO_IDENTITY)) || light === null) noIdentity(idOrName)
  return identityNamed(parts.store, light.id)
}

/** The identity, for whoever may act on it; in the same words, and about the same time, for one that is not there. */
async function mineNamed(sql: Sql, may: Allowed, idOrName: string): Promise<IdentityDetail> {
  const light = await lightIdentity(sql, idOrName)
  if (light === null) may.can(identityResource(NO_IDENTITY))
  if (light === null || !isMine(may, identityResource(light))) noIdentity(idOrName)
  return identityNamed(sql, light.id)
}

/** With the policies in force, by which it is decided whom somebody may name. */
type DecidingParts = RecordParts & { readonly policies: Policies }

/**
 * Adds an identity by hand, as `joinIdentity`; its owner must be a person or a team with people. An owner or a manager whom the asker may
 * not name (`namingBy`) is `not_found`.
 */
export async function joinByHand(
  parts: DecidingParts,
  ctx: Ctx,
  may: Allowed<'identity:join'>,
  by: Principal,
  input: JoinInput,
): Promise<IdentityDetail> {
  const { owner, manager, ...fields } = input
  const naming = namingBy(parts.policies, ctx, by)
  may.check({ type: 'identity', id: 'new', kind: fields.kind, environment: fields.environment ?? 'none' })
  const id = await parts.store.inTx(async (tx) =>
    joinIdentity(tx, ctx, {
      ...fields,
      source: 'api',
      ...(owner !== undefined && { owner: await findOwner(tx, naming, owner, fields.tenancy ?? DEFAULT_TENANCY) }),
      ...(manager != null && { manager: await nameIdentity(tx, naming, manager) }),
    }),
  )
  return identityNamed(parts.store, id)
}

/**
 * Changes an identity by hand, as `moveIdentity`. The asker must have the right both where it is and where it goes; owner and manager as
 * for `joinByHand`.
 */
export async function moveByHand(
  parts: DecidingParts,
  ctx: Ctx,
  may: Allowed<'identity:move'>,
  by: Principal,
  idOrName: string,
  input: MoveInput,
): Promise<IdentityDetail> {
  const before = await mineNamed(parts.store, may, idOrName)
  const resource = identityResource(before)
  if (input.environment !== undefined) may.check({ ...resource, environment: input.environment })
  const { owner, manager, ...change } = input
  const naming = namingBy(parts.policies, ctx, by)
  await parts.store.inTx(async (tx) =>
    moveIdentity(tx, ctx, before.id, {
      ...change,
      ...(owner !== undefined && { owner: await findOwner(tx, naming, owner, input.tenancy ?? before.tenancy) }),
      ...(manager !== undefined && { manager: manager === null ? null : await nameIdentity(tx, naming, manager) }),
    }),
  )
  return identityNamed(parts.store, before.id)
}

const STATUS_MOVES = {
  'identity:suspend': barIdentity,
  'identity:resume': resumeIdentity,
  'identity:offboard': offboardIdentity,
} as const

/** Why somebody's status moves; forced also where nobody could change policy any more. */
export interface StatusInput {
  readonly reason: string
  readonly force: boolean
}

/**
 * Suspends, resumes or offboards, as the permission says; again does nothing. Resolves with the identity as it is then. Throws
 * `approval_required` where a rule asks for it; `forbidden` for who resumes themselves, by whatever token, program or identity;
 * `wrong_state` if nobody could change policy any more, unless it is forced with a reason of at least 10 characters: whoever is dangerous
 * can always be stopped.
 */
export async function moveStatusByHand(
  parts: DecidingParts,
  ctx: Ctx,
  may: Allowed<keyof typeof STATUS_MOVES>,
  by: Principal,
  idOrName: string,
  { reason, force }: StatusInput,
): Promise<IdentityDetail> {
  if (force && reason.trim().length < FORCED_REASON_CHARS) refuse(`The reason has at least ${FORCED_REASON_CHARS} characters.`)
  const before = await mineNamed(parts.store, may, idOrName)
  await withApproval(parts.store, ctx, by, async (tx) => {
    if (may.action === 'identity:resume') {
      await refuseOneself(tx, by, [before.id], 'Nobody resumes themselves.', 'Ask somebody else, not by a token or program of yours.')
    }
    const ends = may.action !== 'identity:resume' && before.status === 'active' && !force
    if (ends) await lockPolicies(tx)
    // What is at its end already needs nobody's approval: a repeat stays harmless.
    if (may.action === 'identity:offboard' && before.status !== 'offboarded') await requireApproval(tx, ctx, offboardAsked(before, reason))
    const move = () => STATUS_MOVES[may.action](tx, ctx, before.id, reason)
    const holds = ends && (await holdsRoles(tx, before.id))
    await (holds ? stayChangeable(tx, ctx, parts.policies.set, move) : move())
  })
  return identityNamed(parts.store, before.id)
}

/** Ending this identity, in words and as data. Without its status: to suspend somebody first must not void the approval to end them. */
export function offboardAsked({ id, name, kind }: IdentityRecord, reason: string): Approvable {
  return {
    action: 'identity:offboard',
    subject: name,
    what: { identity: id, name, kind, reason },
    about: [id],
    words: [
      `End the identity ${name} (${kind}) for good.`,
      'What it owns is handed over, and what it can log in with stops working. Nothing leads back.',
      `Reason given: ${JSON.stringify(reason)}`,
    ].join('\n'),
  }
}

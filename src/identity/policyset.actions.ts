import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isCode, isId, newId, RekeyError } from '../kernel/index.ts'
import {
  type Allowed,
  defaultFiles,
  defaultPolicies,
  FORCED_REASON_CHARS,
  holdersOf,
  NO_POLICIES,
  overlay,
  type PolicyFile,
  type PolicySet,
  type Principal,
  readPoliciesApart,
  textFaults,
} from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { askForPolicies, bypassPolicyRule, withApproval } from './approval.gate.ts'
import { supersedePolicies } from './approval.supersede.ts'
import { everybodyBehind } from './behind.ts'
import { type Activation, activationOf } from './policyset.activation.ts'
import { type BothHandsView, handsFacts, newlyBoth, noteBoth, recordBoth, requireForcedSet } from './policyset.hands.ts'
import { changesBetween, digestOf, type FileChange, type PolicySetView, requireSomebody, type Warrant } from './policyset.model.ts'
import { readOrNone, readSet, withSets } from './policyset.read.ts'
import * as rows from './policyset.store.ts'
import { handsDigest } from './rights.story.ts'
import { changeableAsks, requireChangeable, somebodyApproves } from './role.changeable.ts'

/** What proposing a set came to. */
export interface Proposed {
  readonly id: string
  readonly digest: string
  readonly baseDigest: string
  readonly changes: readonly FileChange[]
  /** The request that was made for it; null where no rule asks for approval by more than one person. */
  readonly approval: string | null
  /** Who would newly hold directory rights and credential rights together: forced, with the reason of the proposal. */
  readonly bothHands: readonly BothHandsView[]
  /** Who can bring it into force. */
  readonly activation: Activation
}

/**
 * The set in force. At the first start the default set comes into force, and when a new version of the program brings another one; each
 * time as an event. A set that was proposed here is left alone; one that cannot be read is no policy, and so no access.
 */
export async function ensurePolicySet(store: Store, ctx: Ctx): Promise<PolicySet> {
  const own = await withSets(ctx, () => store.inTx((tx) => ensureDefault(tx, ctx)))
  if (own === null) return defaultPolicies()
  try {
    return await readPoliciesApart(ctx, own, 'in force')
  } catch (error) {
    if (!isCode(error, 'policy_invalid')) throw error
    ctx.log.error({}, 'the policies in force cannot be read by this version: everything is refused')
    return NO_POLICIES
  }
}

/** The texts in force if they were proposed here; null where the default set is in force, as it is now. */
async function ensureDefault(tx: Tx, ctx: Ctx): Promise<readonly PolicyFile[] | null> {
  await rows.lockPolicies(tx)
  const active = await rows.activeSet(tx)
  if (active?.origin === 'own') return active.files
  const files = defaultFiles()
  const digest = digestOf(files)
  if (active?.digest === digest) return null
  const id = newId(ctx.clock.now().getTime())
  const words = active === null ? 'the default policies' : 'the default policies of another version of the program'
  await rows.insertSet(tx, {
    id,
    origin: 'default',
    files,
    digest,
    baseDigest: active?.digest ?? null,
    words,
    by: ctx.actor,
    proposers: [],
    bothHands: [],
  })
  await rows.activateSet(tx, id, ctx.actor, null)
  const was = active === null ? null : readOrNone(active.files)
  const before = forcedRoles(was)
  const hands = await noteBoth(tx, ctx, was, defaultPolicies())
  await append(tx, ctx, [
    activated(id, words, { digest, base: active?.digest ?? null, origin: 'default', ...hands }),
    ...forcedEvents(id, before, forcedRoles(defaultPolicies())),
  ])
  return null
}

/**
 * Checks files, laid over the default set, and says what would change, and who would newly hold both hands. Stores nothing. Throws
 * `policy_invalid` with every fault, `wrong_state` if nothing would change or if nobody could change policy any more.
 */
export async function diffPolicies(store: Store, ctx: Ctx, _may: Allowed<'policy:propose'>, own: readonly PolicyFile[]) {
  return withSets(ctx, () => store.inTx((tx) => compare(tx, ctx, own)))
}

/**
 * As `diffPolicies`, and stores the set as proposed (event `policy.proposed`). It changes no decision yet. Where a rule says who approves
 * policies, they are asked in the same transaction; `bad_input` then where too few of them could approve. Throws `forbidden` for a token
 * that nobody on record stands behind; `wrong_state` where somebody would newly hold both hands and it is not forced, `bad_input` where it
 * is and the reason has less than 10 characters.
 */
export async function proposePolicies(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'policy:propose'>,
  by: Principal,
  input: { readonly files: readonly PolicyFile[]; readonly words: string; readonly force: boolean },
): Promise<Proposed> {
  requireSomebody(by)
  const propose = async (tx: Tx) => {
    await rows.lockPolicies(tx)
    const { set, now, digest, baseDigest, changes, bothHands } = await compare(tx, ctx, input.files)
    requireForcedSet(bothHands, input.force, input.words)
    const id = newId(ctx.clock.now().getTime())
    const { words } = input
    const proposers = (await everybodyBehind(tx, by)).sort()
    await rows.insertSet(tx, { id, origin: 'own', files: set.files, digest, baseDigest, words, by: ctx.actor, proposers, bothHands })
    const files = changes.map(({ file, change }) => ({ file, change }))
    const facts = { digest, base: baseDigest, proposers: [...proposers], hands: handsDigest(bothHands) }
    await append(tx, ctx, [event('policy.proposed', id, words, { ...facts, files, ...handsFacts(bothHands) })])
    const approval = await askForPolicies(tx, ctx, { action: 'policy:approve', subject: id, digest, words, proposers, by })
    const activation = await activationOf(tx, ctx, now, { proposers, approval })
    return { id, digest, baseDigest, changes, approval, bothHands, activation }
  }
  return withSets(ctx, () => store.inTx(propose))
}

/**
 * Brings a proposed set into force: approved (`policy.approved`), or without approval where policy lets somebody (`policy.bypassed`). In
 * one transaction with `policy.activated`, and `role.forced` for each role, and for whoever else, that now holds both hands. `digest` is
 * what whoever says yes has seen. Throws `not_found`; `wrong_state` if it is not proposed any more, or if somebody came to hold both
 * hands by it since it was proposed; `conflict` if the digest is another one or if another set came into force since it was proposed;
 * `forbidden` if it is not approved, and for a token that bypasses while somebody could approve; `approval_required` where a rule asks
 * for more people. Where a rule asks for approval, only people bypass it, and its approvers are told.
 */
export async function activatePolicies(
  store: Store,
  ctx: Ctx,
  by: Principal,
  input: { readonly id: string; readonly digest: string; readonly warrant: Warrant },
): Promise<PolicySetView> {
  const { id, digest, warrant } = input
  if ('reason' in warrant && warrant.reason.trim().length < FORCED_REASON_CHARS) {
    throw new RekeyError('bad_input', `The reason of a bypass has at least ${FORCED_REASON_CHARS} characters.`)
  }
  const activate = async (tx: Tx) => {
    await rows.lockPolicies(tx)
    const [proposal, active] = [isId(id) ? await rows.findSet(tx, id) : null, await rows.activeSet(tx)]
    if (proposal === null) throw new RekeyError('not_found', 'There is no such set of policies.')
    if (proposal.state !== 'proposed') throw new RekeyError('wrong_state', `This set is ${proposal.state} already.`)
    // Of what is stored, not of what is said to be: whoever can write rows must not slip in other texts under an approved digest.
    if (digest !== digestOf(proposal.files)) throw new RekeyError('conflict', 'This is not the digest of the set that was proposed.')
    if (proposal.base_digest !== (active?.digest ?? null)) {
      throw new RekeyError('conflict', 'Another set came into force since this one was proposed.', { hint: 'Propose it again.' })
    }
    // What is in force may hold more than what comes into force: a proposal of an older version as well.
    const faults = textFaults(proposal.files)
    if (faults.length > 0) throw new RekeyError('policy_invalid', `The policies have ${faults.length} fault(s).`, { faults })
    const set = readSet(proposal.files, 'in force', await changeableAsks(tx, ctx))
    await requireChangeable(tx, ctx, set)
    const granted = await grant(tx, ctx, by, proposal, warrant)
    await rows.activateSet(tx, id, ctx.actor, 'reason' in warrant ? warrant.reason : null)
    const was = active === null ? null : readOrNone(active.files)
    const before = forcedRoles(was)
    const facts = { digest, base: proposal.base_digest, origin: 'own', proposedBy: proposal.proposed_by }
    await append(tx, ctx, [granted, activated(id, proposal.words, facts), ...forcedEvents(id, before, forcedRoles(set))])
    await recordBoth(tx, ctx, { now: was, next: set }, proposal)
    await supersedePolicies(tx, ctx, id)
    return viewOf((await rows.findSet(tx, id)) ?? proposal)
  }
  return withSets(ctx, () => withApproval(store, ctx, by, activate))
}

async function grant(tx: Tx, ctx: Ctx, by: Principal, proposal: rows.SetRowWithFiles, warrant: Warrant): Promise<EvidenceEvent> {
  const { id, digest, words, proposers, proposed_by } = proposal
  const ask = { action: 'policy:approve', subject: id, digest, words, proposers, by } as const
  if ('reason' in warrant) {
    await bypassPolicyRule(tx, ctx, ask, warrant.reason)
    await requireAlone(tx, ctx, by)
    return event('policy.bypassed', id, words, { digest, reason: warrant.reason, proposedBy: proposed_by })
  }
  const { approvedBy } = await warrant.gate.require(tx, ctx, ask)
  const { because } = warrant
  return event('policy.approved', id, words, { digest, approvedBy: [...approvedBy], proposedBy: proposed_by, reason: because })
}

/** A program bypasses only as long as there is nobody whom it could ask: the first token of a new installation. */
async function requireAlone(tx: Tx, ctx: Ctx, by: Principal): Promise<void> {
  if (by.kind === 'person' && by.actsFor === null) return
  const active = await rows.activeSet(tx)
  const set = active === null ? null : readOrNone(active.files)
  if (set !== null && (await somebodyApproves(tx, ctx, set))) {
    throw new RekeyError('forbidden', 'Somebody is there who may approve policies: a token bypasses nobody.', {
      hint: 'Ask them: rekey policy approve. rekey role bindings shows who it is.',
    })
  }
}

/** What `own` over the default set would change. */
async function compare(tx: Tx, ctx: Ctx, own: readonly PolicyFile[]) {
  const set = readSet(overlay(defaultFiles(), own), 'proposed', await changeableAsks(tx, ctx))
  const active = await rows.activeSet(tx)
  if (active === null) throw new RekeyError('unavailable', 'There is no set of policies in force yet.')
  const digest = digestOf(set.files)
  if (digest === active.digest) throw new RekeyError('wrong_state', 'These are the policies in force: nothing would change.')
  await requireChangeable(tx, ctx, set)
  const now = readOrNone(active.files)
  const bothHands = await newlyBoth(tx, now, set)
  return {
    set,
    now: now ?? NO_POLICIES,
    digest,
    baseDigest: active.digest,
    changes: changesBetween(active.files, set.files),
    bothHands,
  }
}

function forcedRoles(set: PolicySet | null): { name: string; reason: string }[] {
  return holdersOf(set?.policies ?? []).flatMap(({ name, forced }) => (forced === null ? [] : [{ name, reason: forced }]))
}

/** One for each holder that was not forced before, or for another reason. */
function forcedEvents(set: string, before: ReturnType<typeof forcedRoles>, now: ReturnType<typeof forcedRoles>): EvidenceEvent[] {
  const fresh = now.filter(({ name, reason }) => !before.some((one) => one.name === name && one.reason === reason))
  return fresh.map(({ name, reason }) => ({ ...event('role.forced', set, name, { reason }) }))
}

function activated(id: string, words: string, data: EvidenceEvent['data']): EvidenceEvent {
  return event('policy.activated', id, words, data)
}

function event(type: string, set: string, subject: string, data: EvidenceEvent['data']): EvidenceEvent {
  return {
    log: 'identity',
    type,
    subject: subject.replace(/\p{Cc}/gu, ' '),
    links: { policySet: set },
    ...(data === undefined ? {} : { data }),
  }
}

export function viewOf(row: rows.SetRow): PolicySetView {
  const { id, origin, state, digest, words } = row
  return {
    id,
    origin,
    state,
    digest,
    words,
    baseDigest: row.base_digest,
    proposedBy: row.proposed_by,
    proposedAt: row.proposed_at.toISOString(),
    activatedBy: row.activated_by,
    activatedAt: row.activated_at?.toISOString() ?? null,
    bypassReason: row.bypass_reason,
  }
}

/** Use cases on one request, for who was given the permission. */
import { type Ctx, isId, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine, type Principal } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { bypassApproval, type DecisionInput, decideApproval, takeBack, withdrawApproval } from './approval.actions.ts'
import { type ApprovalDetail, approvalResource, detailOf } from './approval.list.ts'
import type { Assertion } from './approval.model.ts'
import { isRequester, noApproval, type Standing, whyNot } from './approval.standing.ts'
import * as rows from './approval.store.ts'

/**
 * The act that a passkey confirms for a decision: `approval:decide`, on the request with what is decided (`approve:ID`, `reject:ID`), over
 * its digest. So what was signed to approve never counts for a rejection, nor the other way round.
 */
export type AssertionOf = (
  tx: Tx,
  holder: { readonly identity: string; readonly session: string },
  proof: string,
  act: { readonly action: string; readonly subject: string; readonly digest: string },
) => Promise<Assertion | null>

/** What the use cases need of the process. */
export interface ApprovalParts {
  readonly store: Store
  /**
   * Uses up a proof that this person's passkey confirmed this very act, from the session that made it; null if it is none. Left out:
   * nobody can sign, and factors that ask for a passkey are never met.
   */
  readonly assertionOf?: AssertionOf
}

type ByHand = Allowed<'approval:decide' | 'approval:withdraw' | 'approval:bypass'>

/** Finds it for somebody who has to do with it, checks the permission on it, and does it, in one transaction. */
async function byHand(
  { store }: ApprovalParts,
  ctx: Ctx,
  may: ByHand,
  by: Principal,
  id: string,
  act: (tx: Tx) => Promise<Standing>,
): Promise<ApprovalDetail> {
  return store.inTx(async (tx) => {
    const row = isId(id) ? await rows.findApproval(tx, id) : null
    if (row === null) noApproval()
    const asked = (await rows.approversOf(tx, id)).some(({ identity }) => identity === by.identity)
    const named = asked || isRequester(by, row) || (may.action !== 'approval:withdraw' && (await whyNot(tx, by, row)) !== null)
    const resource = approvalResource(row, by, named)
    // Who has nothing to do with it learns nothing; who may bypass has, wherever policy lets them. Who stands behind it hears why not, and
    // so does whom it is about.
    if ((!named && may.action !== 'approval:bypass') || !isMine(may, resource)) noApproval()
    return detailOf(tx, ctx, by, await act(tx))
  })
}

/** What comes with a decision beside it. */
interface Shown {
  readonly proof: string | null
  /** Under which it is asked; null for a token. */
  readonly session: string | null
}

/**
 * As `decideApproval`. `proof` is that of a step-up in `session`, under which it is asked; throws `step_up_required` for one that is not
 * good, or was used.
 */
export function decideByHand(
  parts: ApprovalParts,
  ctx: Ctx,
  may: Allowed<'approval:decide'>,
  by: Principal,
  id: string,
  input: Omit<DecisionInput, 'assertion'> & Shown,
): Promise<ApprovalDetail> {
  return byHand(parts, ctx, may, by, id, async (tx) => {
    const { decision, reason, digest, proof, session } = input
    return decideApproval(tx, ctx, by, id, {
      decision,
      reason,
      digest,
      assertion: await assertionFor(parts, tx, by, `${decision}:${id}`, { digest, proof, session }),
    })
  })
}

async function assertionFor(
  { assertionOf }: ApprovalParts,
  tx: Tx,
  by: Principal,
  subject: string,
  { digest, proof, session }: Shown & { readonly digest: string },
): Promise<Assertion | null> {
  if (proof === null || by.identity === null) return null
  const act = { action: 'approval:decide', subject, digest }
  const assertion = session === null ? null : ((await assertionOf?.(tx, { identity: by.identity, session }, proof, act)) ?? null)
  if (assertion === null) throw new RekeyError('step_up_required', 'This is no proof that your passkey confirmed exactly this.')
  return assertion
}

/** As `takeBack`. */
export function takeBackByHand(
  parts: ApprovalParts,
  ctx: Ctx,
  may: Allowed<'approval:decide'>,
  by: Principal,
  id: string,
  reason: string,
): Promise<ApprovalDetail> {
  return byHand(parts, ctx, may, by, id, (tx) => takeBack(tx, ctx, by, id, reason))
}

/** As `withdrawApproval`. */
export function withdrawByHand(
  parts: ApprovalParts,
  ctx: Ctx,
  may: Allowed<'approval:withdraw'>,
  by: Principal,
  id: string,
  reason: string,
): Promise<ApprovalDetail> {
  return byHand(parts, ctx, may, by, id, (tx) => withdrawApproval(tx, ctx, by, id, reason))
}

/** As `bypassApproval`. */
export function bypassByHand(
  parts: ApprovalParts,
  ctx: Ctx,
  may: Allowed<'approval:bypass'>,
  by: Principal,
  id: string,
  input: { readonly reason: string; readonly digest: string },
): Promise<ApprovalDetail> {
  return byHand(parts, ctx, may, by, id, (tx) => bypassApproval(tx, ctx, by, id, input))
}

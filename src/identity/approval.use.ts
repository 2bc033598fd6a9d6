/** Use cases on one request, for who was given the permission. */
import { type Ctx, isId } from '../kernel/index.ts'
import { type Allowed, isMine, type Principal } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { bypassApproval, type DecisionInput, decideApproval, takeBack, withdrawApproval } from './approval.actions.ts'
import { type ApprovalDetail, approvalResource, detailOf } from './approval.list.ts'
import type { Assertion } from './approval.model.ts'
import { isRequester, noApproval, type Standing } from './approval.standing.ts'
import * as rows from './approval.store.ts'

/** What the use cases need of the process. */
export interface ApprovalParts {
  readonly store: Store
  /**
   * The newest assertion of a passkey of this person over this digest, from the login that made it; null if there is none. Left out: nobody
   * can sign, and factors that ask for a passkey are never met.
   */
  readonly assertionOf?: (tx: Tx, ctx: Ctx, by: Principal, digest: string) => Promise<Assertion | null>
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
    const named = asked || isRequester(by, row)
    const resource = approvalResource(row, by, named)
    // Who has nothing to do with it learns nothing; who may bypass has, wherever policy lets them.
    if ((!named && may.action !== 'approval:bypass') || !isMine(may, resource)) noApproval()
    return detailOf(tx, ctx, by, await act(tx))
  })
}

/** As `decideApproval`, with the passkey's assertion if there is one. */
export function decideByHand(
  parts: ApprovalParts,
  ctx: Ctx,
  may: Allowed<'approval:decide'>,
  by: Principal,
  id: string,
  input: Omit<DecisionInput, 'assertion'>,
): Promise<ApprovalDetail> {
  return byHand(parts, ctx, may, by, id, async (tx) => {
    const assertion = input.decision === 'approve' ? await parts.assertionOf?.(tx, ctx, by, input.digest) : null
    return decideApproval(tx, ctx, by, id, { ...input, assertion: assertion ?? null })
  })
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

import { type Ctx, isId, type Json, pageOfSeenById } from '../kernel/index.ts'
import type { Action, Allowed, Principal, Resource } from '../policy/index.ts'
import type { Sql, Store } from '../store/index.ts'
import type { ApprovalState } from './approval.model.ts'
import { isRequester, noApproval, type Standing, standingOf } from './approval.standing.ts'
import * as rows from './approval.store.ts'

/** A request for approval, as lists show it. */
export interface ApprovalView {
  readonly id: string
  readonly action: string
  readonly subject: string
  readonly state: ApprovalState
  readonly requestedBy: { readonly kind: string; readonly id: string; readonly name: string }
  readonly requestedAt: string
  readonly expiresAt: string
  readonly endedAt: string | null
  /** Whether whoever looks asked for it. */
  readonly mine: boolean
  /** Whether whoever looks was asked, and has not decided. */
  readonly waitsForMe: boolean
}

/** One factor of a request, as it stands. */
export interface FactorView {
  readonly team: string
  readonly teamName: string
  readonly count: number
  readonly aal: number
  readonly passkey: boolean
  /** How many people it lacks now. */
  readonly lacking: number
  /** Everybody who was asked; those who left the team or are not active do not count. */
  readonly approvers: readonly { readonly id: string; readonly name: string; readonly eligible: boolean }[]
}

/** A decision, taken back or not. */
export interface DecisionView {
  readonly by: string
  readonly name: string
  readonly decision: 'approve' | 'reject'
  readonly reason: string
  readonly aal: number
  /** Id of the passkey that signed the digest; null if none did. */
  readonly passkey: string | null
  readonly at: string
  readonly takenBackAt: string | null
  /** Null also for one that was taken back before this was kept; evidence has it. */
  readonly takenBackReason: string | null
}

/** A request with exactly what is approved, in words and as data, who may and who did. */
export interface ApprovalDetail extends ApprovalView {
  readonly words: string
  readonly what: Json
  readonly digest: string
  readonly factors: readonly FactorView[]
  readonly decisions: readonly DecisionView[]
  readonly bypass: { readonly by: string; readonly reason: string } | null
  /** Why whoever asked withdrew it; null also for one of before this was kept. */
  readonly withdrawnReason: string | null
}

/** Which requests to list: those one asked for or was asked about, one of the two, or all that one may read. */
export const APPROVAL_VIEWS = ['mine', 'decide', 'requested', 'all'] as const
/** One of the ways to list requests. `decide`: those that wait for one's decision. */
export type ApprovalsOf = (typeof APPROVAL_VIEWS)[number]

/** What a policy may know of a request. It belongs to who asked and to who was asked alike: `named` says that the asker is one of them. */
export function approvalResource(row: rows.ApprovalRow, by: Principal, named: boolean): Resource {
  const owner = (named ? by.identity : row.requester_identity) ?? undefined
  return { type: 'approval', id: row.id, kind: row.action, ...(owner === undefined ? {} : { owner }) }
}

/** Newest first. `next` is the cursor of what follows; see `pageOfSeen`. */
export async function readApprovals(
  parts: { readonly store: Store },
  ctx: Ctx,
  may: Allowed<'approval:read'>,
  by: Principal,
  page: { readonly of: ApprovalsOf; readonly after: string | null; readonly limit: number },
): Promise<{ readonly items: ApprovalView[]; readonly next: string | null }> {
  const me = { id: by.id, identity: by.identity !== null && isId(by.identity) ? by.identity : null }
  const now = ctx.clock.now()
  const { items, next } = await pageOfSeenById(page, {
    read: (after, limit) => rows.listApprovals(parts.store, { ...page, ...me, now, after, limit }),
    mine: (found) => found.filter((row) => may.can(approvalResource(row, by, row.named || isRequester(by, row)))),
  })
  return { items: items.map((row) => viewOf(row, ctx, by, row.undecided)), next }
}

/** One request. Throws `not_found`, in the same words for one that the asker has nothing to do with. */
export async function readApproval(
  parts: { readonly store: Store },
  ctx: Ctx,
  may: Allowed<'approval:read'>,
  by: Principal,
  id: string,
): Promise<ApprovalDetail> {
  const row = isId(id) ? await rows.findApproval(parts.store, id) : null
  if (row === null) noApproval()
  const approvers = await rows.approversOf(parts.store, id)
  const named = approvers.some(({ identity }) => identity === by.identity)
  if (!may.can(approvalResource(row, by, named || isRequester(by, row)))) noApproval()
  return detailOf(parts.store, ctx, by, await standingOf(parts.store, ctx, row))
}

/** A request with all that is known of it, for somebody who may see it. */
export async function detailOf(sql: Sql, ctx: Ctx, by: Principal, standing: Standing): Promise<ApprovalDetail> {
  const { row, factors, eligible, decisions, lacking, state } = standing
  const approvers = await rows.approversOf(sql, row.id)
  const counts = new Set(eligible.map(({ position, identity }) => `${position} ${identity}`))
  const decided = decisions.some((one) => one.identity_id === by.identity && one.taken_back_at === null)
  const undecided = !decided && eligible.some(({ identity }) => identity === by.identity)
  return {
    ...viewOf({ ...row, state }, ctx, by, undecided),
    words: row.words,
    what: JSON.parse(row.what) as Json,
    digest: row.digest,
    factors: factors.map(({ position, team, teamName, count, aal, passkey }) => ({
      team,
      teamName,
      count,
      aal,
      passkey,
      lacking: lacking[position] ?? count,
      approvers: approvers
        .filter((one) => one.position === position)
        .map(({ identity, name }) => ({ id: identity, name, eligible: counts.has(`${position} ${identity}`) })),
    })),
    decisions: decisions.map((one) => ({
      by: one.identity_id,
      name: one.name,
      decision: one.decision,
      reason: one.reason,
      aal: one.aal,
      passkey: one.passkey,
      at: one.at.toISOString(),
      takenBackAt: one.taken_back_at?.toISOString() ?? null,
      takenBackReason: one.taken_back_reason,
    })),
    bypass: row.bypassed_by === null ? null : { by: row.bypassed_by, reason: row.bypass_reason ?? '' },
    withdrawnReason: row.withdrawn_reason,
  }
}

function viewOf(row: rows.ApprovalRow, ctx: Ctx, by: Principal, undecided: boolean): ApprovalView {
  const open = row.state === 'requested' || row.state === 'approved' || row.state === 'bypassed'
  const state = open && ctx.clock.now() >= row.expires_at ? 'expired' : row.state
  return {
    id: row.id,
    action: row.action as Action,
    subject: row.subject,
    state,
    requestedBy: { kind: row.requester_kind, id: row.requester_id, name: row.requester_name },
    requestedAt: row.requested_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
    mine: isRequester(by, row),
    waitsForMe: undecided && state === 'requested',
  }
}

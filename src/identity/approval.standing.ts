/** How a request stands at this moment, and the moves that follow from it. */
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, type Json, RekeyError } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { type ApprovalState, type Eligible, missing, NEXT_APPROVAL } from './approval.model.ts'
import * as rows from './approval.store.ts'
import { standBehind, standsBehind } from './behind.ts'
import { type Outcome, queueOutcome } from './notify.queue.ts'
import { certainlyOthers, type HumanOf, humansAmong, shareHuman } from './person.ts'

/** A request with everything that decides whether it is approved now. */
export interface Standing {
  readonly row: rows.ApprovalRow
  readonly factors: readonly rows.FactorRow[]
  readonly eligible: Eligible
  readonly decisions: readonly rows.DecisionRow[]
  /** By factor: how many people it lacks. */
  readonly lacking: readonly number[]
  /** As it is now, which the row may not say yet: past its time, or short of somebody who is eligible no more. */
  readonly state: ApprovalState
  readonly humanOf: HumanOf
  /** Identities whose approvals count. */
  readonly approvedBy: readonly string[]
}

export async function standingOf(sql: Sql, ctx: Ctx, row: rows.ApprovalRow): Promise<Standing> {
  const factors = await rows.factorsOfApproval(sql, row.id)
  const decisions = await rows.decisionsOf(sql, row.id)
  // Anew: who stands behind a program that asked, or that it is about, may have come later.
  const behind = await standBehind(sql, [...row.excluded, ...row.about])
  const eligible = await withoutHumans(sql, await rows.eligibleNow(sql, row.id, behind), behind)
  const humanOf = await humansAmong(sql, [...decisions.map((one) => one.identity_id), ...eligible.map(({ identity }) => identity)])
  const among = new Set(eligible.map(({ identity }) => identity))
  const live = decisions.filter((one) => one.taken_back_at === null && one.decision === 'approve' && among.has(one.identity_id))
  const counted = live.map(({ identity_id, aal, passkey }) => ({ identity: identity_id, aal, passkey: passkey !== null }))
  const lacking = missing(factors, eligible, counted, humanOf)
  // A request whose factors are gone is never approved: empty does not mean all.
  const enough = factors.length > 0 && lacking.every((count) => count === 0)
  const state = stateNow(row, ctx.clock.now(), enough)
  return { row, factors, eligible, decisions, lacking, state, humanOf, approvedBy: live.map(({ identity_id }) => identity_id) }
}

/** Without whoever may be the same human as one of `behind`, which names everybody who stands behind the request. */
export async function withoutHumans<T extends { readonly identity: string }>(
  sql: Sql,
  asked: readonly T[],
  behind: readonly string[],
): Promise<T[]> {
  return certainlyOthers(sql, asked, ({ identity }) => identity, behind)
}

function stateNow({ state, expires_at }: rows.ApprovalRow, now: Date, enough: boolean): ApprovalState {
  if (NEXT_APPROVAL[state].length === 0) return state
  if (now >= expires_at) return 'expired'
  if (state === 'bypassed') return state
  return enough ? 'approved' : 'requested'
}

/** The request, locked, as it is now. Throws `not_found`. */
export async function lockStanding(tx: Tx, ctx: Ctx, id: string): Promise<Standing> {
  const row = isId(id) ? await rows.lockApproval(tx, id) : null
  return standingOf(tx, ctx, row ?? noApproval())
}

/** How a request stands now; null if there is none. */
export async function approvalState(sql: Sql, ctx: Ctx, id: string): Promise<ApprovalState | null> {
  const row = await rows.findApproval(sql, id)
  return row === null ? null : (await standingOf(sql, ctx, row)).state
}

export function noApproval(): never {
  throw new RekeyError('not_found', 'There is no such request for approval.')
}

/** Throws `wrong_state` unless it is in one of these now. */
export function requireState({ state }: Standing, ...wanted: readonly ApprovalState[]): void {
  if (!wanted.includes(state)) throw new RekeyError('wrong_state', `The request is ${state}.`)
}

/** Moves the row, by the table, with its event; who asked is told of what concerns them. */
export async function move(
  tx: Tx,
  ctx: Ctx,
  row: Pick<rows.ApprovalRow, 'id' | 'subject' | 'action' | 'digest' | 'requester_identity'>,
  [from, to]: readonly [ApprovalState, ApprovalState],
  data: Record<string, Json>,
): Promise<void> {
  if (!NEXT_APPROVAL[from].includes(to)) throw new RekeyError('wrong_state', `The request is ${from} and cannot become ${to}.`)
  const ends = NEXT_APPROVAL[to].length === 0 ? ctx.clock.now() : null
  if (!(await rows.moveApproval(tx, row.id, from, to, ends))) throw new RekeyError('conflict', 'The request changed at this moment.')
  await append(tx, ctx, [approvalEvent(EVENT_OF[to], row, data)])
  const told = TOLD_OF[to]
  // Who lets it through by themselves knows.
  if (told !== undefined && data.by !== row.requester_identity) await queueOutcome(tx, row.id, told, row.requester_identity)
}

/** What who asked is told. A withdrawal and a use are their own; that it fell short again they see when they try. */
const TOLD_OF: { readonly [State in ApprovalState]?: Outcome } = {
  approved: 'approved',
  bypassed: 'let_through',
  rejected: 'rejected',
  expired: 'expired',
}

const EVENT_OF = {
  requested: 'approval.fell_short',
  approved: 'approval.approved',
  bypassed: 'approval.bypassed',
  rejected: 'approval.rejected',
  withdrawn: 'approval.withdrawn',
  expired: 'approval.expired',
  consumed: 'approval.consumed',
} as const satisfies Record<ApprovalState, string>

/** Brings the row to what counting says: approved, short again, or expired. Resolves with the standing, whose row agrees then. */
export async function settle(tx: Tx, ctx: Ctx, standing: Standing): Promise<Standing> {
  const { row, state, approvedBy, lacking } = standing
  if (row.state === state) return standing
  if (state === 'approved') await move(tx, ctx, row, [row.state, state], { approvedBy: [...approvedBy] })
  if (state === 'requested') await move(tx, ctx, row, [row.state, state], { lacking: [...lacking] })
  if (state === 'expired') await move(tx, ctx, row, [row.state, state], {})
  return { ...standing, row: { ...row, state } }
}

/** An event of one request. */
export function approvalEvent(
  type: string,
  row: Pick<rows.ApprovalRow, 'id' | 'subject' | 'action' | 'digest'>,
  data: Record<string, Json>,
): EvidenceEvent {
  return {
    log: 'identity',
    type,
    subject: row.subject,
    links: { approval: row.id },
    data: { action: row.action, digest: row.digest, ...data },
  }
}

/** Whether this is who asked: the same principal, or the same identity through another login. */
export function isRequester(by: Principal, row: Pick<rows.ApprovalRow, 'requester_id' | 'requester_identity'>): boolean {
  return by.id === row.requester_id || (by.identity !== null && by.identity === row.requester_identity)
}

/**
 * Whether this is who asked, or anybody behind it: whom an agent acts for, who made the token that asked, who owns it, who proposed
 * the policies; by any of their identities.
 */
async function standsBehindRequest(
  sql: Sql,
  by: Principal,
  row: Pick<rows.ApprovalRow, 'requester_id' | 'requester_identity' | 'excluded'>,
): Promise<boolean> {
  if (isRequester(by, row)) return true
  return shareHuman(sql, standsBehind(by), await standBehind(sql, row.excluded))
}

/**
 * Why somebody does not decide: they stand behind the request (`asks`), or behind what it is about, by any of their identities. Null if
 * neither is so.
 */
export async function whyNot(
  sql: Sql,
  by: Principal,
  row: Pick<rows.ApprovalRow, 'requester_id' | 'requester_identity' | 'excluded' | 'about'>,
): Promise<'asks' | 'about' | null> {
  if (await standsBehindRequest(sql, by, row)) return 'asks'
  return (await shareHuman(sql, standsBehind(by), await standBehind(sql, row.about))) ? 'about' : null
}

/** The identity of a person who acts for themselves; null for everything else. Only such a one decides. */
export function personOf({ kind, identity, actsFor }: Principal): string | null {
  return kind === 'person' && actsFor === null ? identity : null
}

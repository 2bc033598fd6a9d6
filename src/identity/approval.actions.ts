import { append } from '../evidence/index.ts'
import { type Ctx, type Json, newId, RekeyError } from '../kernel/index.ts'
import { type Principal, StepUpRequired } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import { checkApprovers, namedFactors } from './approval.enough.ts'
import {
  APPROVAL_LIMITS,
  type Approvable,
  type Assertion,
  checkApprovable,
  type Factor,
  NEXT_APPROVAL,
  parseFactors,
} from './approval.model.ts'
import { listed } from './approval.people.ts'
import {
  approvalEvent,
  isRequester,
  lockStanding,
  move,
  noApproval,
  personOf,
  requireState,
  type Standing,
  settle,
  standingOf,
  whyNot,
  withoutHumans,
} from './approval.standing.ts'
import * as rows from './approval.store.ts'
import { standBehind, standsBehind } from './behind.ts'
import { queueNotices } from './notify.queue.ts'
import { requireSomebody } from './policyset.model.ts'
import { refuse } from './record.model.ts'
import { lockRecord } from './record.store.ts'
import { placesDigest } from './rights.story.ts'

/** What is asked, of whom, until when. */
export interface NewApproval extends Approvable {
  readonly factors: readonly Factor[]
  /** How long it may be decided and used, seconds from when it is asked. */
  readonly expiresSeconds: number
  readonly requestedBy: Principal
  /** Ids of principals and identities that stand behind it besides the requester; none of them decides. */
  readonly alsoBehind?: readonly string[]
  /** True: whoever asked, too few could approve it. It is asked for all the same, so that it can be bypassed: see `rulesLack`. */
  readonly lacking?: boolean
}

/**
 * Asks for approval (`approval.requested`), freezes who may give it, and tells them. Resolves with the id of the request. Whoever stands
 * behind it is not asked: the requester, whom an agent acts for, who made the requesting token, and all others whom `standBehind` knows.
 * Nor is whoever stands behind what it is about: what it gives or takes is theirs.
 * Throws `forbidden` for a token that nobody on record stands behind; `bad_input` for factors that ask for nobody or for nothing, a team
 * that is not there, and where fewer people are eligible than are needed, unless `lacking`.
 */
export async function requestApproval(tx: Tx, ctx: Ctx, asked: NewApproval): Promise<string> {
  const parts = checkApprovable(asked)
  const { requestedBy: by } = asked
  requireSomebody(by)
  const now = ctx.clock.now()
  const expiresAt = expiryOf(now, asked.expiresSeconds)
  const lacking = asked.lacking ?? false
  const factors = await namedFactors(tx, parseFactors(asked.factors), lacking)
  const excluded = await standBehind(tx, [...standsBehind(by), ...(asked.alsoBehind ?? [])])
  const about = await standBehind(tx, asked.about ?? [])
  const out = [...excluded, ...about]
  const teams = factors.map(({ team }) => team)
  const found = await withoutHumans(tx, await rows.candidates(tx, teams, out), out)
  if (!lacking) await checkApprovers(tx, factors, found, about.length === 0 ? undefined : NOT_COUNTED)
  const approvers = found.length > APPROVAL_LIMITS.approvers ? [] : found
  const id = newId(now.getTime())
  await rows.insertApproval(tx, {
    ...parts,
    id,
    state: 'requested',
    requester_kind: by.kind,
    requester_id: by.id,
    requester_identity: by.identity,
    requester_name: by.name,
    excluded,
    about,
    requested_at: now,
    expires_at: expiresAt,
    remind_at: nextReminder(now, expiresAt),
    ended_at: null,
    bypassed_by: null,
    bypass_reason: null,
    withdrawn_reason: null,
  })
  await rows.insertFactors(tx, id, factors)
  await rows.insertApprovers(tx, id, approvers)
  const people = [...new Set(approvers.map(({ identity }) => identity))]
  const facts = factors.map(({ team, count, aal, passkey }) => ({ team, count, aal, passkey }))
  await append(tx, ctx, [
    approvalEvent(
      'approval.requested',
      { id, ...parts },
      {
        factors: facts,
        approvers: people,
        // Of each factor: who stands under one alone does not count for another.
        places: placesDigest(approvers.map(({ position, identity }) => [position, identity])),
        expiresAt: expiresAt.toISOString(),
        excluded: [...excluded].sort(),
        about: listed(about),
        requester: { kind: by.kind, id: by.id, identity: by.identity },
      },
    ),
  ])
  await queueNotices(tx, id, 'requested', people)
  return id
}

const NOT_COUNTED =
  'Neither who asks nor whom it is about counts. To give a role to the team that approves it, give it to each of its people.'

function expiryOf(now: Date, seconds: number): Date {
  const { expiresSecondsMin, expiresSecondsMax } = APPROVAL_LIMITS
  if (!(seconds >= expiresSecondsMin && seconds <= expiresSecondsMax)) refuse('An approval expires after 5 minutes to 30 days.')
  return new Date(now.getTime() + seconds * 1000)
}

/** When to remind next: at half of the time that is left, until that is less than five minutes. */
export function nextReminder(now: Date, expiresAt: Date): Date | null {
  const halfMs = (expiresAt.getTime() - now.getTime()) / 2
  return halfMs < 300_000 ? null : new Date(now.getTime() + halfMs)
}

/** What somebody decides, of exactly which digest. */
export interface DecisionInput {
  readonly decision: 'approve' | 'reject'
  readonly reason: string
  /** Of what they have read. */
  readonly digest: string
  /** What their passkey signed, where a factor asks for it. */
  readonly assertion: Assertion | null
}

/**
 * Approves or rejects (`approval.decided`); enough approvals make it `approval.approved`, one rejection ends it. Resolves with how it
 * stands then. Throws `not_found` for whoever was not asked; `forbidden` for the requester, for whom it is about, for programs and agents,
 * and for whoever is eligible no more; `step_up_required` where no factor takes so weak a login; `conflict` for another digest or a second
 * approval, also through another identity of the same person; `wrong_state` once it ended.
 */
export async function decideApproval(tx: Tx, ctx: Ctx, by: Principal, id: string, input: DecisionInput): Promise<Standing> {
  checkWords('reason', input.reason)
  const before = await lockStanding(tx, ctx, id)
  const { row } = before
  const identity = await requireApprover(tx, by, before)
  requireState(before, 'requested', 'approved')
  if (input.digest !== row.digest) throw new RekeyError('conflict', 'This is not the digest of what is to be approved.')
  if (!before.eligible.some((one) => one.identity === identity)) {
    throw new RekeyError('forbidden', 'You are not among those who may decide this any more.', {
      hint: 'Left the team; or stands behind it or what it is about, perhaps as the same person as somebody else: rekey person list.',
    })
  }
  const standing = await settle(tx, ctx, before)
  const own = standing.decisions.find((one) => one.identity_id === identity && one.taken_back_at === null)
  if (input.decision === 'approve' && own !== undefined) throw new RekeyError('conflict', 'You have approved it already.')
  const twin = input.decision === 'approve' ? sameHuman(standing, identity) : undefined
  if (twin !== undefined) throw new RekeyError('conflict', `You have approved it already, as ${twin.name}: one person counts once.`)
  if (input.decision === 'approve') requireAssurance(ctx, by, identity, standing, input.assertion)
  const now = ctx.clock.now()
  if (own !== undefined) await rows.takeBackDecision(tx, id, identity, now, input.reason)
  await rows.insertDecision(tx, id, {
    id: newId(now.getTime()),
    identity_id: identity,
    name: by.name,
    decision: input.decision,
    reason: input.reason,
    aal: by.aal,
    authenticated_at: by.authenticatedAt,
    passkey: input.assertion?.credentialId ?? null,
    passkey_at: input.assertion?.at ?? null,
    at: now,
  })
  await append(tx, ctx, [approvalEvent('approval.decided', row, decisionFacts(by, identity, input))])
  if (input.decision === 'reject') await move(tx, ctx, row, [standing.row.state, 'rejected'], { by: identity })
  return recount(tx, ctx, id)
}

/** An approval that counts now, given through another identity of the same human. */
function sameHuman({ decisions, approvedBy, humanOf }: Standing, identity: string): rows.DecisionRow | undefined {
  return decisions.find(
    (one) => one.taken_back_at === null && approvedBy.includes(one.identity_id) && humanOf(one.identity_id) === humanOf(identity),
  )
}

function decisionFacts(by: Principal, identity: string, { decision, reason, assertion }: DecisionInput): Record<string, Json> {
  const facts = { decision, reason, by: identity, aal: by.aal }
  return assertion === null ? facts : { ...facts, passkey: assertion.credentialId, passkeyAt: assertion.at.toISOString() }
}

function ownRequest(): never {
  throw new RekeyError('forbidden', 'Who asks does not decide.', {
    hint: 'Somebody else must, also of what your token or your program asked for.',
  })
}

function aboutYou(): never {
  throw new RekeyError('forbidden', 'Whom a request is about does not decide it.', {
    hint: 'It gives or takes what is yours, or lets somebody be you: others decide.',
  })
}

/** The identity of somebody who was asked. Who was not learns nothing; who stands behind it, or whom it is about, why they were not. */
async function requireApprover(tx: Tx, by: Principal, { row }: Standing): Promise<string> {
  if (isRequester(by, row)) ownRequest()
  const asked = (await rows.approversOf(tx, row.id)).some(({ identity }) => identity === by.identity)
  const why = asked ? null : await whyNot(tx, by, row)
  if (why === 'asks') ownRequest()
  if (why === 'about') aboutYou()
  if (!asked || by.identity === null) noApproval()
  if (personOf(by) === null) throw new RekeyError('forbidden', 'Only people decide, and for themselves.')
  return by.identity
}

function requireAssurance(ctx: Ctx, by: Principal, identity: string, { row, factors, eligible }: Standing, assertion: Assertion | null) {
  if (assertion !== null) {
    const ageMs = ctx.clock.now().getTime() - assertion.at.getTime()
    const fresh = ageMs >= -60_000 && ageMs <= APPROVAL_LIMITS.assertionSeconds * 1000
    if (assertion.digest !== row.digest || !fresh) throw new RekeyError('conflict', 'The passkey signed something else, or long ago.')
  }
  const mine = factors.filter(({ position }) => eligible.some((one) => one.position === position && one.identity === identity))
  if (mine.some(({ aal, passkey }) => by.aal >= aal && (assertion !== null || !passkey))) return
  const needed = Math.min(...mine.map(({ aal }) => aal)) as Factor['aal']
  if (by.aal < needed) throw new StepUpRequired({ aal: needed, maxAgeSeconds: null })
  throw new RekeyError('step_up_required', 'This needs a passkey that signs exactly this request.', {
    hint: 'A command line cannot sign: open the request in the console, under Approvals.',
  })
}

/**
 * Takes one's own approval back (`approval.taken_back`), as long as the request is open; it may be short of people again then. A rejection
 * has ended the request, so there is nothing to take back. Throws `not_found` for whoever was not asked, `wrong_state` without a decision.
 */
export async function takeBack(tx: Tx, ctx: Ctx, by: Principal, id: string, reason: string): Promise<Standing> {
  checkWords('reason', reason)
  const before = await lockStanding(tx, ctx, id)
  const identity = await requireApprover(tx, by, before)
  requireState(before, 'requested', 'approved')
  const standing = await settle(tx, ctx, before)
  if (!(await rows.takeBackDecision(tx, id, identity, ctx.clock.now(), reason))) {
    throw new RekeyError('wrong_state', 'You have decided nothing that could be taken back.')
  }
  await append(tx, ctx, [approvalEvent('approval.taken_back', standing.row, { by: identity, reason })])
  return recount(tx, ctx, id)
}

/**
 * Takes the request back (`approval.withdrawn`). Only for who asked, person or program, and for them always: no policy has to let them.
 * For everybody else it is `not_found`.
 */
export async function withdrawApproval(tx: Tx, ctx: Ctx, by: Principal, id: string, reason: string): Promise<Standing> {
  checkWords('reason', reason)
  const standing = await lockStanding(tx, ctx, id)
  if (!isRequester(by, standing.row)) noApproval()
  requireState(standing, 'requested', 'approved', 'bypassed')
  const { row } = await settle(tx, ctx, standing)
  await endWithdrawn(tx, ctx, row, reason)
  return recount(tx, ctx, id)
}

async function endWithdrawn(tx: Tx, ctx: Ctx, row: rows.ApprovalRow, reason: string): Promise<void> {
  await move(tx, ctx, row, [row.state, 'withdrawn'], { reason })
  await rows.noteWithdrawal(tx, row.id, reason)
}

/** Withdraws a request that asks for nothing any more, if it is still open, without its requester's doing. */
export async function withdrawForGood(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<void> {
  const standing = await lockStanding(tx, ctx, id)
  if (NEXT_APPROVAL[standing.state].length === 0) return
  const { row } = await settle(tx, ctx, standing)
  await endWithdrawn(tx, ctx, row, reason)
}

/**
 * Lets it through without the approvals (`approval.bypassed`), and tells every approver who was skipped. That the person may, policy has
 * said (`approval:bypass`), of what others asked for: never of what they stand behind or what is about them, unless `own` (policies,
 * where `policy:bypass` says that). Throws `forbidden` for that, and for anything but a person who acts for themselves; `bad_input` for a
 * reason of less than 10 characters, `conflict` for another digest, `wrong_state` unless it waits.
 */
export async function bypassApproval(
  tx: Tx,
  ctx: Ctx,
  by: Principal,
  id: string,
  input: { readonly reason: string; readonly digest: string; readonly own?: boolean },
): Promise<Standing> {
  const { reason, digest, own = false } = input
  checkWords('reason', reason)
  const { bypassReasonChars } = APPROVAL_LIMITS
  if ([...reason.trim()].length < bypassReasonChars) refuse(`The reason of a bypass has at least ${bypassReasonChars} characters.`)
  const identity = personOf(by)
  if (identity === null) throw new RekeyError('forbidden', 'Only people bypass an approval, and for themselves.')
  const before = await lockStanding(tx, ctx, id)
  const why = own ? null : await whyNot(tx, by, before.row)
  if (why === 'about') aboutYou()
  if (why === 'asks') {
    throw new RekeyError('forbidden', 'Who asks does not bypass the approval.', {
      hint: 'Another person whom policy lets do approval:bypass may, also of what your token or your program asked for.',
    })
  }
  requireState(before, 'requested')
  if (digest !== before.row.digest) throw new RekeyError('conflict', 'This is not the digest of what is to be approved.')
  const { row, decisions } = await settle(tx, ctx, before)
  const approved = new Set(decisions.flatMap((one) => (one.taken_back_at === null ? [one.identity_id] : [])))
  const asked = [...new Set((await rows.approversOf(tx, id)).map((one) => one.identity))]
  const skipped = asked.filter((one) => !approved.has(one) && one !== identity)
  await rows.noteBypass(tx, id, identity, reason)
  await move(tx, ctx, row, ['requested', 'bypassed'], { by: identity, reason, skipped })
  await queueNotices(
    tx,
    id,
    'bypassed',
    asked.filter((one) => one !== identity),
  )
  return recount(tx, ctx, id)
}

/** Whose word made a consumed approval. */
export interface Consumed {
  readonly id: string
  readonly approvedBy: readonly string[]
  /** Who let it through without the approvals; null if it was approved. */
  readonly bypassedBy: string | null
}

/**
 * Uses an approval up, exactly once (`approval.consumed`), in the transaction that does what was approved. Counts again, while nobody can
 * be taken out of a team, suspended or offboarded. Throws `not_found`; `conflict` if `digest` is of something else; `wrong_state` if it is
 * at an end; `approval_required` if too few of those who approved are eligible now. Take no other lock of the record before it.
 */
export async function consumeApproval(tx: Tx, ctx: Ctx, id: string, digest: string): Promise<Consumed> {
  await lockRecord(tx, 'alone')
  const row = (await rows.lockApproval(tx, id)) ?? noApproval()
  const stored = checkApprovable({ ...row, action: row.action as Approvable['action'], what: JSON.parse(row.what) as Json })
  if (digest !== row.digest || stored.digest !== row.digest) {
    throw new RekeyError('conflict', 'This approval is of something else.', { hint: 'Ask for approval of what it is now.' })
  }
  const approvers = (await rows.decisionsOf(tx, id)).map((one) => one.identity_id)
  await rows.holdPeople(tx, [...approvers, ...(row.bypassed_by === null ? [] : [row.bypassed_by])])
  const counted = await standingOf(tx, ctx, row)
  if (counted.state === 'requested') {
    throw new RekeyError('approval_required', 'Not enough of those who may approve have approved.', {
      hint: `See rekey approval show ${id}.`,
    })
  }
  requireState(counted, 'approved', 'bypassed')
  const { bypassed_by: bypassedBy } = row
  if (counted.state === 'bypassed' && !(bypassedBy !== null && (await rows.isActivePerson(tx, bypassedBy)))) {
    throw new RekeyError('approval_required', 'Whoever bypassed the approval is not active any more.')
  }
  const settled = await settle(tx, ctx, counted)
  const approvedBy = counted.state === 'approved' ? counted.approvedBy : []
  await move(tx, ctx, row, [settled.row.state, 'consumed'], { approvedBy: [...approvedBy], ...(bypassedBy && { bypassedBy }) })
  return { id, approvedBy, bypassedBy }
}

async function recount(tx: Tx, ctx: Ctx, id: string): Promise<Standing> {
  return settle(tx, ctx, await lockStanding(tx, ctx, id))
}

function checkWords(what: string, text: string): void {
  if (text.trim() === '') refuse(`The ${what} is empty.`)
  if (text.length > APPROVAL_LIMITS.reasonChars) refuse(`The ${what} is longer than ${APPROVAL_LIMITS.reasonChars} characters.`)
}

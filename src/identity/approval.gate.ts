/** Where other use cases meet approvals: they ask for one, and go on when it is there. */
import { canonicalJson } from '../evidence/index.ts'
import { type Ctx, counted, isCode, type Json, RekeyError } from '../kernel/index.ts'
import { type PolicyFile, type Principal, teamsNamed } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { bypassApproval, type Consumed, consumeApproval, requestApproval, withdrawForGood } from './approval.actions.ts'
import { askedTooFew, rulesLack } from './approval.enough.ts'
import { type Approvable, approvalDigest, checkApprovable, type Factor } from './approval.model.ts'
import { cameIn, isAlike, latecomers, peopleThrough, withPeople } from './approval.people.ts'
import { type ApprovalRule, ruleOf } from './approval.rule.store.ts'
import { personOf, type Standing, standingOf } from './approval.standing.ts'
import { type ApprovalRow, lockDigest, openAlike, openByDigest } from './approval.store.ts'
import { unreachedBy } from './notify.reach.ts'
import { handsAsked } from './policyset.hands.ts'
import { type ApprovalGate, type Ask, changesBetween, linesWithNumbers, secondPerson } from './policyset.model.ts'
import { readOrNone } from './policyset.read.ts'
import { activeSet, findSet } from './policyset.store.ts'
import { lockRecord } from './record.store.ts'

/** A request that waits; `lack` says why nobody could approve it, so that only a bypass is left. */
export interface AskedFor {
  readonly id: string
  readonly lack: string | null
}

/** `approval_required`, with the request that waits, and who no notice can reach. */
export class ApprovalRequired extends RekeyError {
  readonly approval: string
  constructor({ id, lack }: AskedFor, unreached: string | null, late = '') {
    const untold = unreached === null ? '' : ` ${unreached}`
    const asked =
      lack === null
        ? `Others must approve exactly this first; they have been asked.${late}${untold}`
        : `Others must approve exactly this first, and nobody could: ${lack} Somebody else who may approval:bypass can let it through.`
    super('approval_required', asked, { hint: `See rekey approval show ${id}, and repeat this once it is approved.` })
    this.approval = id
  }
}

/** What `requireApproval` throws inside the transaction; `withApproval` asks for what is missing outside of it. */
class ApprovalMissing extends RekeyError {
  readonly asked: Approvable
  readonly alsoBehind: readonly string[]
  /** Who came in since it was approved, in words; empty where it was not. */
  readonly late: string
  constructor(asked: Approvable, alsoBehind: readonly string[], late = '') {
    super('approval_required', 'Others must approve exactly this first.')
    this.asked = asked
    this.alsoBehind = alsoBehind
    this.late = late
  }
}

/**
 * Uses up an approval for exactly this where a rule asks for one; resolves with null where none does. To be called first in the transaction
 * that acts, inside `withApproval`. An approval that was asked for under another rule does not count, nor one from before somebody came
 * into a team whose people it reaches: read those (`people`) under the record's lock, held alone. Throws `approval_required`.
 */
export async function requireApproval(tx: Tx, ctx: Ctx, asked: Approvable, alsoBehind: readonly string[] = []): Promise<Consumed | null> {
  const rule = await ruleOf(tx, ctx, asked.action)
  if (rule === null) return null
  const isReady = ({ state }: Standing) => state === 'approved' || state === 'bypassed'
  const { fitting, late } = await requestsFor(tx, ctx, rule, asked)
  const ready = fitting.find(isReady)
  if (ready === undefined) {
    const before = late.find(isReady)
    const words = before && latecomers(before.row.id, cameIn(whatOf(before.row), withPeople(asked).what), asked.people)
    throw new ApprovalMissing(asked, alsoBehind, words)
  }
  return consumeApproval(tx, ctx, ready.row.id, ready.row.digest)
}

/**
 * Runs `use` in a transaction. If it stops at `requireApproval`, nothing of it is done; approval is asked for in a transaction of its own,
 * once for equal questions, and `ApprovalRequired` is thrown with the request.
 */
export async function withApproval<T>(store: Store, ctx: Ctx, by: Principal, use: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await store.inTx(use)
  } catch (error) {
    if (!(error instanceof ApprovalMissing)) throw error
    const [asked, unreached] = await store.inTx(async (tx) => {
      const asked = await askOnce(tx, ctx, by, error)
      return [asked, await unreachedBy(tx, asked.id)] as const
    })
    throw new ApprovalRequired(asked, unreached, error.late)
  }
}

/**
 * As `requireApproval`, for what acts by itself and cannot be told to come back: resolves with null if it may go on now, else with the
 * request that waits, made in this transaction. Throws `bad_input` where who asks leaves too few who could approve, before anything is
 * written.
 */
export async function approvalOrAsk(tx: Tx, ctx: Ctx, by: Principal, asked: Approvable): Promise<AskedFor | null> {
  try {
    await requireApproval(tx, ctx, asked)
    return null
  } catch (error) {
    if (!(error instanceof ApprovalMissing)) throw error
    return askOnce(tx, ctx, by, error)
  }
}

/**
 * The open request for this, or a new one. Where the rule itself can be met by nobody (its team is gone or empty) it is asked for all the
 * same: what can neither be approved nor bypassed could never be mended. Once enough are there, they are asked in a request of its own.
 */
async function askOnce(tx: Tx, ctx: Ctx, by: Principal, { asked, alsoBehind }: ApprovalMissing): Promise<AskedFor> {
  const rule = await ruleOf(tx, ctx, asked.action)
  if (rule === null) throw new RekeyError('conflict', 'The rule was taken away at this moment.', { hint: 'Try again.' })
  const whole = withPeople(asked)
  await lockDigest(tx, approvalDigest(whole))
  const [open] = (await requestsFor(tx, ctx, rule, asked)).fitting
  const lack = await rulesLack(tx, rule.factors)
  if (open !== undefined) {
    if (open.state !== 'requested' || lack !== null || !(await askedTooFew(tx, open))) return { id: open.row.id, lack }
    await withdrawForGood(tx, ctx, open.row.id, 'Enough people are there now: they are asked.')
  }
  const { factors, expiresSeconds } = rule
  const lacking = lack !== null
  return { id: await requestApproval(tx, ctx, { ...whole, factors, expiresSeconds, requestedBy: by, alsoBehind, lacking }), lack }
}

/**
 * Open requests for exactly this that ask for what the rule asks for now, and keep out whom it is about. `late`: those that would be for
 * it, had nobody come into a team since.
 */
async function requestsFor(tx: Tx, ctx: Ctx, rule: ApprovalRule, asked: Approvable) {
  const whole = withPeople(asked)
  const kept = checkApprovable(whole)
  const open =
    asked.people === undefined
      ? await openByDigest(tx, kept.digest)
      : (await openAlike(tx, kept)).filter((row) => isAlike(whatOf(row), whole.what))
  const found: Standing[] = []
  for (const row of open) found.push(await standingOf(tx, ctx, row))
  const good = found.filter(({ state, factors }) => state !== 'expired' && textOf(factors) === textOf(rule.factors))
  const keepsOut = good.filter(({ row }) => (asked.about ?? []).every((id) => row.about.includes(id)))
  const fits = ({ row }: Standing) => asked.people === undefined || isNobody(cameIn(whatOf(row), whole.what))
  return { fitting: keepsOut.filter(fits), late: keepsOut.filter((one) => !fits(one)) }
}

const isNobody = (came: readonly string[] | true) => came !== true && came.length === 0
const whatOf = ({ what }: ApprovalRow) => JSON.parse(what) as Json

function textOf(factors: readonly Factor[]): string {
  return canonicalJson(factors.map(({ team, count, aal, passkey }) => ({ team, count, aal, passkey })))
}

/**
 * Asks for the approval of a set that was just proposed, so that approvers hear of it without anybody's doing more. Resolves with the
 * request; null where no rule asks for one. Throws `bad_input` where who proposes leaves too few who could approve.
 */
export async function askForPolicies(tx: Tx, ctx: Ctx, ask: Ask): Promise<string | null> {
  if ((await ruleOf(tx, ctx, ask.action)) === null) return null
  return (await askOnce(tx, ctx, ask.by, new ApprovalMissing(await policiesAsked(tx, ask), ask.proposers))).id
}

/** Files of changed policies that the words name, and bytes of changed lines that are shown as data; the digest stands for all. */
const FILES_NAMED = 30
const LINES_BYTES = 24 * 1024
/** Characters of changed lines that stand in the words; more are counted there. */
const WORDS_CHARS = 2_000

/** Policies: by the rule for `policy:approve`; without one, `secondPerson`. */
export const approvalGate: ApprovalGate = {
  async require(tx, ctx, ask) {
    // Nobody comes into a team that the set names while it is looked at.
    await lockRecord(tx, 'alone')
    const asked = await policiesAsked(tx, ask)
    const consumed = await requireApproval(tx, ctx, asked, ask.proposers)
    if (consumed === null) return secondPerson.require(tx, ctx, ask)
    return { approvedBy: consumed.bypassedBy === null ? consumed.approvedBy : [consumed.bypassedBy] }
  },
}

/**
 * Policies come into force past the rule for `policy:approve`: the request is made where there is none, bypassed and used up, so that
 * every approver who was skipped is told (`approval.bypassed`). Does nothing without a rule. Throws `forbidden` for anything but a person
 * who acts for themselves. Where nobody could be asked, nobody is told: a bypass is for that too.
 */
export async function bypassPolicyRule(tx: Tx, ctx: Ctx, ask: Ask, reason: string): Promise<void> {
  const { by } = ask
  const rule = await ruleOf(tx, ctx, 'policy:approve')
  if (rule === null) return
  if (personOf(by) === null) {
    throw new RekeyError('forbidden', 'A rule asks for approval of policies: only people bypass it, and for themselves.', {
      hint: 'Log in as a person who may do policy:bypass.',
    })
  }
  const asked = await policiesAsked(tx, ask)
  try {
    await askOnce(tx, ctx, by, new ApprovalMissing(asked, ask.proposers))
  } catch (error) {
    if (isCode(error, 'bad_input')) return
    throw error
  }
  const [open] = (await requestsFor(tx, ctx, rule, asked)).fitting
  if (open === undefined) throw new RekeyError('internal', 'A request for approval that was just made is not there.')
  const { id, digest } = open.row
  if (open.state === 'requested') await bypassApproval(tx, ctx, by, id, { reason, digest, own: true })
  await consumeApproval(tx, ctx, id, digest)
}

async function policiesAsked(tx: Tx, { subject, digest, words }: Ask): Promise<Approvable> {
  const [proposal, active] = [await findSet(tx, subject), await activeSet(tx)]
  const changes = changesBetween(active?.files ?? [], proposal?.files ?? [])
  const whole = changes.map(({ file, change, lines }) => ({ file, change, lines }))
  const short = changes.map(({ file, change, lines }) => ({ file, change, lines: lines.length, numbered: linesWithNumbers(lines) }))
  const shown = Buffer.byteLength(JSON.stringify(whole)) <= LINES_BYTES ? whole : short.slice(0, FILES_NAMED)
  const rest = changes.length - FILES_NAMED
  const lines = changes.flatMap((it) => [`- ${it.file}: ${it.change}`, ...it.lines.map((line) => `    ${line}`)])
  const inWords = changes.length <= FILES_NAMED && lines.join('\n').length <= WORDS_CHARS
  const hands = handsAsked(proposal?.both_hands ?? [])
  const known = namedIn(active?.files ?? [])
  const teams = [...namedIn(proposal?.files ?? [])].filter((id) => !known.has(id))
  return {
    action: 'policy:approve',
    subject,
    what: { set: subject, digest, base: active?.digest ?? null, changes: shown, ...hands.facts },
    words: [
      `Bring the policies ${subject} into force (digest ${digest}).`,
      ...(inWords ? lines : short.slice(0, FILES_NAMED).map(inShort)),
      ...(rest > 0 ? [`- and ${rest} more files`] : []),
      ...hands.lines,
      `The whole set: rekey policy show ${subject}`,
      `Whoever proposed them says: ${JSON.stringify(words)}`,
    ].join('\n'),
    ...(teams.length > 0 && { people: await peopleThrough(tx, teams) }),
  }
}

function inShort({ file, change, lines, numbered }: { file: string; change: string; lines: number; numbered: number }): string {
  const odd = numbered === 0 ? '' : `, ${counted(numbered, 'line')} with letters written by their numbers (\\u{…}): read them`
  return `- ${file}: ${change}, ${lines} lines${odd}`
}

/** Teams that a set names: what it gives or forbids them, it gives or forbids to whoever is in them. */
function namedIn(files: readonly PolicyFile[]): Set<string> {
  // One of another version that cannot be read gives nobody anything.
  return teamsNamed(readOrNone(files)?.policies ?? [])
}

import { canonicalJson } from '../evidence/index.ts'
import { isId, type Json, LIMITS, printable, RekeyError } from '../kernel/index.ts'
import { type Action, isAction } from '../policy/index.ts'
import { digestHex } from '../seal/index.ts'

/** Where a request for approval stands. */
export const APPROVAL_STATES = ['requested', 'approved', 'bypassed', 'rejected', 'withdrawn', 'expired', 'consumed'] as const
/** One of the states of a request. */
export type ApprovalState = (typeof APPROVAL_STATES)[number]

/**
 * Which state may follow which. `approved` goes back to `requested` when a decision is taken back or one who made it is eligible no more.
 * What is in no list is an end. Consumed is reached from `approved` and `bypassed` alone.
 */
export const NEXT_APPROVAL: Readonly<Record<ApprovalState, readonly ApprovalState[]>> = {
  requested: ['approved', 'bypassed', 'rejected', 'withdrawn', 'expired'],
  approved: ['requested', 'consumed', 'rejected', 'withdrawn', 'expired'],
  bypassed: ['consumed', 'withdrawn', 'expired'],
  rejected: [],
  withdrawn: [],
  expired: [],
  consumed: [],
}

/** So many distinct people of a team, each with so good a login. */
export interface Factor {
  /** Immutable id of the team; people of nested teams count. */
  readonly team: string
  /** At least 1. */
  readonly count: number
  /** Least assurance level of the login that decides (NIST SP 800-63B-4 section 2). */
  readonly aal: 1 | 2 | 3
  /** Whether each decision must come with a passkey's assertion over the digest of the request. */
  readonly passkey: boolean
}

/** Proof that a passkey signed this digest, as the login's step-up made it (WebAuthn section 7.2). */
export interface Assertion {
  readonly credentialId: string
  readonly digest: string
  readonly at: Date
}

/** Bounds of requests. What passes one is refused with its name and the bound. */
export const APPROVAL_LIMITS = {
  factors: 8,
  /** Of one factor. */
  count: 20,
  /** Of one request, over all factors; each of them is told. */
  approvers: 1000,
  whatBytes: 40 * 1024,
  wordsChars: 4000,
  reasonChars: 1000,
  expiresSecondsMin: 300,
  expiresSecondsMax: 2_592_000,
  /** Of the reason of a bypass. */
  bypassReasonChars: 10,
  /** Oldest assertion of a passkey that a decision may come with, seconds. */
  assertionSeconds: 300,
} as const

/**
 * Factors out of anything that was written down. Throws `bad_input` with every fault: no factors, a count of zero, something that is no
 * team, a member that does not belong there. Nothing missing is ever read as "none needed": only `aal` (2) and `passkey` (false) may be
 * left out.
 */
export function parseFactors(value: unknown): Factor[] {
  const faults: { message: string; path: string }[] = []
  const list = Array.isArray(value) ? (value as unknown[]) : []
  if (list.length === 0) faults.push({ path: 'factors', message: 'There is no factor: nobody would have to approve.' })
  if (list.length > APPROVAL_LIMITS.factors) faults.push({ path: 'factors', message: `At most ${APPROVAL_LIMITS.factors} factors.` })
  const factors = list.map((item, at) => parseFactor(item, (message) => faults.push({ path: `factors.${at}`, message })))
  if (faults.length > 0) throw new RekeyError('bad_input', faults.map(({ message }) => message).join(' '), { faults })
  return factors
}

function parseFactor(value: unknown, fault: (message: string) => void): Factor {
  const { team, count, aal = 2, passkey = false, ...rest } = (isObject(value) ? value : {}) as Record<string, unknown>
  const isTeam = typeof team === 'string' && isId(team)
  if (!isObject(value) || Object.keys(rest).length > 0) fault('A factor has team, count, aal and passkey, and nothing else.')
  if (!isTeam) fault('The team of a factor is its immutable id.')
  if (!isWhole(count, 1, APPROVAL_LIMITS.count)) fault(`The count of a factor is a whole number from 1 to ${APPROVAL_LIMITS.count}.`)
  if (!isWhole(aal, 1, 3)) fault('The aal of a factor is 1, 2 or 3.')
  if (typeof passkey !== 'boolean') fault('The passkey of a factor is true or false.')
  // What is not valid is never returned: the faults throw first.
  const level = aal === 1 || aal === 3 ? aal : 2
  return { team: isTeam ? team : '', count: typeof count === 'number' ? count : 1, aal: level, passkey: passkey === true }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
}

/** What approval is asked for. `what` is exactly that, as data; `words` the same for people, made by the server from the same data. */
export interface Approvable {
  readonly action: Action
  /** The name of what it is about, for lists and evidence. */
  readonly subject: string
  readonly what: Json
  /** Several lines are fine. What the requester wrote is quoted in it, never all of it. */
  readonly words: string
  /**
   * Whom it reaches by their being in a team. `requireApproval` puts them into data and words, and a request of before still counts if
   * nobody came in since: who goes is no reason to ask again.
   */
  readonly people?: readonly { readonly id: string; readonly name: string }[]
  /**
   * Ids of whom it is about: identities, API tokens, teams. Whoever stands behind one of them neither approves nor rejects. Not part of the
   * digest: `what` says the same in its own way.
   */
  readonly about?: readonly string[]
}

/**
 * Stands for exactly this: SHA-256 of the canonical JSON (RFC 8785) of action, subject, what and words, lower-case hex. Another letter
 * anywhere is another approval. Throws `bad_input` for what is no such thing or is too large.
 */
export function approvalDigest(asked: Approvable): string {
  return checkApprovable(asked).digest
}

/** The parts as they are kept, with their digest. */
export function checkApprovable({ action, subject, what, words }: Approvable) {
  if (!isAction(action)) throw new RekeyError('internal', 'An approval is asked for something that is no action.')
  const text = canonicalJson(what)
  if (Buffer.byteLength(text) > APPROVAL_LIMITS.whatBytes) throw new RekeyError('bad_input', 'What is to be approved is too large.')
  if (subject === '' || subject.length > LIMITS.nameChars) throw new RekeyError('bad_input', 'The subject has 1 to 200 characters.')
  // Nothing invisible: what an approver reads must be what is there, in the order in which it is there.
  const lines = words.split('\n').map(printable).join('\n')
  if (lines.trim() === '') throw new RekeyError('bad_input', 'There are no words for what is to be approved.')
  if (lines.length > APPROVAL_LIMITS.wordsChars) throw new RekeyError('bad_input', 'The words for what is to be approved are too long.')
  const kept = { action, subject: printable(subject), what: text, words: lines }
  return { ...kept, digest: digestHex(canonicalJson({ v: 1, ...kept })) }
}

/** One decision, as it counts. */
export interface CountedDecision {
  readonly identity: string
  readonly aal: number
  readonly passkey: boolean
}

/** Who may count for which factor, by its place in the list, at this moment. */
export type Eligible = readonly { readonly position: number; readonly identity: string }[]

/**
 * Whom the factors still lack: by factor, how many places no distinct person fills. Each person fills one place at most, and people are
 * placed so that as many places as possible are filled (a maximum matching, by augmenting paths). All zeros: approved. `humanOf` names
 * the person of an identity: several identities of one are one person here, who may fill a place by any of them.
 */
export function missing(
  factors: readonly Factor[],
  eligible: Eligible,
  decisions: readonly CountedDecision[],
  humanOf: (identity: string) => string = (identity) => identity,
): number[] {
  const byIdentity = new Map(decisions.map((decision) => [decision.identity, decision]))
  const may = factors.map(({ aal, passkey }, position) =>
    eligible
      .filter((one) => one.position === position)
      .flatMap(({ identity }) => byIdentity.get(identity) ?? [])
      .filter((decision) => decision.aal >= aal && (decision.passkey || !passkey))
      .map(({ identity }) => humanOf(identity)),
  )
  const places = factors.flatMap(({ count }, position) => Array.from({ length: count }, () => position))
  const placeOf = new Map<string, number>()
  const fill = (place: number, tried: Set<string>): boolean =>
    (may[places[place] ?? -1] ?? []).some((person) => {
      if (tried.has(person)) return false
      tried.add(person)
      const held = placeOf.get(person)
      if (held !== undefined && !fill(held, tried)) return false
      placeOf.set(person, place)
      return true
    })
  const lacking = factors.map(() => 0)
  for (const [place, position] of places.entries()) {
    if (!fill(place, new Set())) lacking[position] = (lacking[position] ?? 0) + 1
  }
  return lacking
}

/** Whether enough distinct people are there at all, whatever their logins. `humanOf` as in `missing`. */
export function couldApprove(factors: readonly Factor[], eligible: Eligible, humanOf?: (identity: string) => string): boolean {
  const best = [...new Set(eligible.map(({ identity }) => identity))].map((identity) => ({ identity, aal: 3, passkey: true }))
  return factors.length > 0 && missing(factors, eligible, best, humanOf).every((count) => count === 0)
}

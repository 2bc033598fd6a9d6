import type { ExceptionView, Finding, ReviewView, UsableView } from '../../credential/index.ts'
import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime } from '../text.ts'
import { age } from '../views.ts'

const words = (text: string) => text.replaceAll('_', ' ')
/** As many as one request may try. */
const PROBES_AT_ONCE = 100

/** Options of `rekey usable`: filters, all of which must hold. */
export interface UsableOptions {
  readonly identity?: string
  readonly system?: string
  readonly state?: string
  readonly olderThan?: number
  readonly limit?: number
  readonly probe?: boolean
}

/** Lists every version that could authenticate right now; with `probe` after a fresh login with each. */
export async function usable(cli: Cli, options: UsableOptions): Promise<number> {
  const client = await cli.client()
  const { identity, system, state, olderThan, limit } = options
  const query = { identity, system, state, olderThanDays: olderThan }
  const read = () => client.all<UsableView>('/v1/usable', query, limit)
  let found = await read()
  const tried = found.filter(({ kind }) => kind === 'version')
  if (options.probe === true && tried.length > 0) {
    for (let at = 0; at < tried.length; at += PROBES_AT_ONCE) {
      const versions = tried.slice(at, at + PROBES_AT_ONCE).map(({ version }) => version)
      await client.post('/v1/usable/probe', { versions }, { startsWork: true })
    }
    found = await read()
  }
  cli.out.list(found, usableColumns(cli.clock.now()), 'Nothing like this could authenticate.')
  return EXIT.ok
}

function usableColumns(now: Date): Column<UsableView>[] {
  return [
    { head: 'CREDENTIAL', of: (it) => (it.number === null ? it.credential : `${it.credential} v${it.number}`) },
    { head: 'SYSTEM', of: (it) => it.system },
    { head: 'ACCOUNT', of: (it) => it.account },
    { head: 'IDENTITY', of: (it) => (it.root ? '(root)' : it.identity) },
    { head: 'STATE', of: (it) => it.state },
    { head: 'AGE', of: (it) => age(it.since, now), right: true },
    { head: 'LAST SEEN', of: (it) => lastSeen(it, now) },
  ]
}

/**
 * Of a version the last time that it was tried, of a token the last time that it was shown. An answer from before a change says nothing of
 * now.
 */
function lastSeen({ lastProbe, lastUsedAt, unknownSince }: UsableView, now: Date): string | null {
  const used = lastUsedAt && `used ${coarsely(lastUsedAt, now)}`
  const seen = lastProbe === null ? used : `${lastProbe.outcome} ${age(lastProbe.at, now)} ago`
  return unknownSince === null ? seen : `unknown for ${age(unknownSince, now)}${seen === null ? '' : ` (${seen})`}`
}

/** Uses are kept to the minute, and written some time later. */
function coarsely(at: string, now: Date): string {
  return now.getTime() - new Date(at).getTime() < 120_000 ? 'within 2m' : `about ${age(at, now)} ago`
}

/** Options of `rekey findings`. */
export interface FindingsOptions {
  readonly kind?: string
  readonly severity?: string
  readonly limit?: number
}

/** Lists what somebody should do something about. */
export async function findings(cli: Cli, { kind, severity, limit }: FindingsOptions): Promise<number> {
  const found = await (await cli.client()).all<Finding>('/v1/findings', { kind, severity }, limit)
  cli.out.list(found, findingColumns(cli.clock.now()), 'Nothing is found.')
  return EXIT.ok
}

function findingColumns(now: Date): Column<Finding>[] {
  return [
    { head: 'SEVERITY', of: (it) => it.severity },
    { head: 'WHAT', of: (it) => `${words(it.kind)} (${it.control})` },
    { head: 'SUBJECT', of: (it) => it.subject },
    { head: 'ASK', of: (it) => it.owner.name },
    { head: 'FOR', of: (it) => age(it.since, now), right: true },
    { head: 'DETAIL', of: (it) => it.detail },
    { head: 'WHAT TO DO', of: (it) => it.action },
  ]
}

const EXCEPTIONS: Column<ExceptionView>[] = [
  { head: 'EXCEPTION', of: (it) => it.exception },
  { head: 'KIND', of: (it) => words(it.kind) },
  { head: 'CREDENTIAL', of: (it) => it.credential },
  { head: 'OWNER', of: (it) => it.owner.name },
  { head: 'SHARED WITH', of: (it) => (it.users.length === 0 ? null : it.users.join(', ')) },
  { head: 'ENDS', of: (it) => `${shortTime(it.endsAt)}${it.past ? ' (past)' : ''}${it.closedAt === null ? '' : ' (closed)'}` },
  { head: 'WAITS FOR', of: (it) => it.waitsFor },
]

/** Lists the exceptions on record. */
export async function exceptionList(cli: Cli, { all, limit }: { readonly all?: boolean; readonly limit?: number }): Promise<number> {
  const found = await (await cli.client()).all<ExceptionView>('/v1/exceptions', { all: all === true ? 'true' : undefined }, limit)
  cli.out.list(found, EXCEPTIONS, 'There are no exceptions.')
  return EXIT.ok
}

/** Options of `rekey exception add`. */
export interface ExceptionOptions {
  readonly kind: string
  readonly owner: string
  readonly user?: readonly string[]
  readonly reason: string
  readonly waitsFor: string
  readonly ends: string
  readonly reviewEvery?: number
  readonly onMissed?: string
}

/** Declares an exception for a credential. */
export async function exceptionAdd(cli: Cli, credential: string, options: ExceptionOptions): Promise<number> {
  const { kind, owner, user, reason, waitsFor, reviewEvery, onMissed } = options
  const endsAt = timeOf(options.ends)
  const body = {
    kind: kind.replaceAll('-', '_'),
    credential,
    users: user,
    owner,
    reason,
    waitsFor,
    endsAt,
    reviewEverySeconds: reviewEvery,
    onMissed,
  }
  return showException(cli, await (await cli.client()).post<ExceptionView>('/v1/exceptions', body, { startsWork: true }))
}

/** A day is its end, in UTC: an exception until the 30th holds on the 30th. */
function timeOf(text: string): string {
  const at = new Date(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:59Z` : text)
  if (Number.isNaN(at.getTime()))
    throw new RekeyError('bad_input', 'Write the end as a day, 2027-01-31, or as a time, 2027-01-31T12:00:00Z.')
  return at.toISOString()
}

/** Ends an exception. */
export async function exceptionClose(cli: Cli, id: string, { reason }: { readonly reason: string }): Promise<number> {
  const path = `/v1/exceptions/${encodeURIComponent(id)}/close`
  return showException(cli, await (await cli.client()).post<ExceptionView>(path, { reason }, { startsWork: true }))
}

function showException({ out }: Cli, it: ExceptionView): number {
  out.fields(it, [
    ['exception', it.exception],
    ['kind', words(it.kind)],
    ['credential', it.credential],
    ['owner', it.owner.name],
    ['shared with', it.users.join(', ')],
    ['because', it.reason],
    ['waits for', it.waitsFor],
    ['ends', shortTime(it.endsAt)],
    ['closed', it.closedAt === null ? null : shortTime(it.closedAt)],
  ])
  return EXIT.ok
}

const REVIEWS: Column<ReviewView>[] = [
  { head: 'REVIEW', of: (it) => it.review },
  { head: 'CREDENTIAL', of: (it) => it.credential },
  { head: 'BECAUSE', of: (it) => words(it.why) },
  { head: 'DUE', of: (it) => `${shortTime(it.dueAt)}${it.missedAt === null ? '' : ' (missed)'}` },
  { head: 'IF MISSED', of: (it) => it.onMissed },
  { head: 'DONE', of: (it) => (it.doneAt === null ? null : `${it.outcome} ${shortTime(it.doneAt)}`) },
]

/** Lists reviews. */
export async function reviewList(cli: Cli, { all, limit }: { readonly all?: boolean; readonly limit?: number }): Promise<number> {
  const found = await (await cli.client()).all<ReviewView>('/v1/reviews', { all: all === true ? 'true' : undefined }, limit)
  cli.out.list(found, REVIEWS, 'There are no such reviews.')
  return EXIT.ok
}

/** Options of `rekey review done`. */
export interface ReviewOptions {
  readonly outcome: string
  readonly note: string
}

/** Says that a review is done, and what becomes of the credential. */
export async function reviewDone(cli: Cli, id: string, { outcome, note }: ReviewOptions): Promise<number> {
  const path = `/v1/reviews/${encodeURIComponent(id)}/done`
  const it = await (await cli.client()).post<ReviewView>(path, { outcome, note }, { startsWork: true })
  cli.out.fields(it, [
    ['review', it.review],
    ['credential', it.credential],
    ['outcome', it.outcome],
    ['done', shortTime(it.doneAt)],
    ['note', it.note],
  ])
  return EXIT.ok
}

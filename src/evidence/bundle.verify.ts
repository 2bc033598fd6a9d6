import { counted, RekeyError } from '../kernel/index.ts'
import { checkHead, isChosen } from './bundle.head.ts'
import type { BundleContent, BundleEvent, BundleFilter, BundleHead, BundleLog, LogStatement } from './bundle.model.ts'
import { decodeProof, type Finding, type Report, readBundle } from './bundle.read.ts'
import { BUNDLE_MAX_BYTES } from './bundle.ts'
import { canonicalJson, firstDifference } from './canonical.ts'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { eventLeafHash, LOGS, type LogName } from './event.ts'
import { EMPTY_ROOT, verifyConsistency, verifyInclusion } from './merkle.ts'
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from './note.ts'
import { renderReport } from './report.ts'

/** What is known of a bundle once it was checked. */
export interface BundleVerdict {
  /** True if nothing at all is wrong. */
  readonly ok: boolean
  /** Everything found wrong, at most 1,000. */
  readonly problems: readonly Finding[]
  readonly logs: { readonly [log in LogName]: LogVerdict }
  /** What is signed of the bundle as a whole; `null` if that could not be read, or is not signed. */
  readonly bundle: Pick<BundleHead, 'exportedAt' | 'filter'> | null
}

/** What is known of one log from a bundle. */
export interface LogVerdict {
  /** Leaves of the tree that the last good checkpoint signs; 0 if there is none. */
  readonly size: number
  /** Its root, base64. */
  readonly root: string
  /** Events in the bundle that were proven to be in that tree. */
  readonly events: number
  /** True if these are all the events of that tree: nothing was left out. Never true where a record of the bundle could not be read. */
  readonly complete: boolean
  /** Events that were written and not yet in the tree when the bundle was made, as its signed head says; 0 without one. */
  readonly pending: number
}

const PROBLEMS_MAX = 1000

/**
 * Checks a bundle with nothing but its bytes and the verifier key, and reports every fault with its place: the frame, each record, the
 * signature over what the bundle says of itself, each checkpoint's signature, the consistency of each with the one before, the
 * inclusion of each event, that all of it is there that the bundle says, and the page, which must be to the byte what the machine part
 * renders to. Hostile bytes give problems, never an exception. Throws `bad_input` only for a `key` that is not a verifier key.
 *
 * What it cannot see: what was published after `bundle.exportedAt`. An older bundle stays sound; the date tells which one it is.
 */
export function verifyBundle(bytes: Uint8Array, key: string): BundleVerdict {
  const verifier = parseVerifierKey(key)
  const problems: Finding[] = []
  const report: Report = (where, what) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ where, what })
  }
  const text = decodeUtf8(bytes, report)
  const read = text === null ? null : readBundle(text, report)
  if (read === null) return { ok: false, problems, logs: { credential: NOTHING, identity: NOTHING }, bundle: null }

  const { logs, page } = read
  // With records missing, what is there differs in any case from what should be, and where it does would only mislead.
  const content = problems.length === 0 && read.head !== null ? { ...read.head, logs } : null
  const bundle = content && openHead(content, verifier, report)
  const verdict = (log: LogName): LogVerdict => {
    const found = verifyLog(log, logs[log], verifier, report)
    if (content === null) return { ...found, complete: false }
    checkStatement(log, content, found, report)
    return { ...found, pending: bundle === null ? 0 : content.head.logs[log].pending }
  }
  const verdicts = { credential: verdict('credential'), identity: verdict('identity') }
  if (content !== null) {
    if (LOGS.every((log) => logs[log].checkpoints.length === 0)) {
      report('bundle', 'There is no signed checkpoint in it: it proves nothing.')
    }
    comparePage(page, renderReport(content), bytes.length, report)
  }
  return { ok: content !== null && problems.length === 0, problems, logs: verdicts, bundle }
}

function openHead({ head, note }: BundleContent, key: VerifierKey, report: Report): BundleVerdict['bundle'] {
  if (head.key !== formatVerifierKey(key)) report(HEAD, 'The bundle names another key than the one given.')
  try {
    checkHead(head, note, key)
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    report(HEAD, error.message)
    return null
  }
  return { exportedAt: head.exportedAt, filter: head.filter }
}

const HEAD = 'first record'

/**
 * Holds one log against what the bundle says of it: the very tree, as many checkpoints and events as it was made with, and no event that
 * was not asked for. So the events of a chosen bundle are all that its filter chooses, and none was put in the place of another.
 */
function checkStatement(log: LogName, { head, logs }: BundleContent, { size, root }: LogVerdict, report: Report): void {
  const { checkpoints, events } = logs[log]
  const told = head.logs[log]
  const place = `${log} log`
  if (checkpoints.length === 0 && events.length === 0 && told.size > 0) {
    report(place, `The log is missing: the bundle was made with ${contentsText(told)}, and nothing of it is there.`)
    return
  }
  if (told.checkpoints !== checkpoints.length) {
    report(place, `The bundle was made with ${counted(told.checkpoints, 'checkpoint')} of it, but ${checkpoints.length} are there.`)
  }
  // Without a checkpoint that opens there is no tree to compare, which was reported.
  if (size > 0 && (told.size !== size || told.root !== root)) {
    report(place, `The bundle was made of the tree of ${told.size}, and its last checkpoint is not of that tree.`)
  }
  if (told.events !== events.length) {
    report(place, `The bundle was made with ${counted(told.events, 'event')} of it, but ${events.length} are there.`)
  }
  if (isChosen(head.filter)) {
    for (const one of events) if (!isAsked(log, one, head.filter)) report(`${log} event ${one.index}`, 'It is none that was asked for.')
  } else if (events.length < size) {
    report(place, `The bundle says that it holds all events, but only ${events.length} of ${size} are there: some were left out.`)
  }
}

function contentsText({ size, events, checkpoints }: LogStatement): string {
  return `${counted(events, 'event')} and ${counted(checkpoints, 'checkpoint')} of a tree of ${size}`
}

function isAsked(log: LogName, { event }: BundleEvent, { credential, since }: BundleFilter): boolean {
  const isOf = credential === null || (log === 'credential' && event.subject === credential)
  return isOf && (since === null || event.at >= since)
}

const NOTHING: LogVerdict = { size: 0, root: Buffer.from(EMPTY_ROOT).toString('base64'), events: 0, complete: false, pending: 0 }

function verifyLog(log: LogName, { checkpoints, events }: BundleLog, key: VerifierKey, report: Report): LogVerdict {
  let last: Checkpoint | null = null
  for (const [i, { note, proof }] of checkpoints.entries()) {
    const where = `${log} checkpoint ${i + 1} of ${checkpoints.length}`
    const checkpoint = open(note, key, log, where, report)
    if (checkpoint === null) return NOTHING
    checkConsistency(last, checkpoint, proof, where, report)
    last = checkpoint
  }
  if (last === null) {
    if (events.length > 0) report(`${log} log`, 'There are events, but no checkpoint to hold them against.')
    return { ...NOTHING, complete: events.length === 0 }
  }
  const head = last
  const proven = events.filter((event) => checkInclusion(log, event, head, report))
  return {
    size: head.size,
    root: Buffer.from(head.root).toString('base64'),
    events: proven.length,
    complete: proven.length === head.size,
    pending: 0,
  }
}

function open(note: string, key: VerifierKey, log: LogName, where: string, report: Report): Checkpoint | null {
  try {
    return openCheckpoint(note, key, log)
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    report(where, error.message)
    return null
  }
}

function checkConsistency(before: Checkpoint | null, now: Checkpoint, proof: readonly string[], where: string, report: Report): void {
  if (before === null) {
    if (proof.length > 0) report(where, 'The first checkpoint carries a consistency proof, though there is nothing before it.')
    return
  }
  const hashes = decodeProof(proof)
  const grown = now.size > before.size && hashes !== null && verifyConsistency(before.size, now.size, before.root, now.root, hashes)
  if (!grown) report(where, `The tree of ${now.size} is not proven to be the tree of ${before.size}, grown.`)
}

function checkInclusion(log: LogName, { index, event, proof }: BundleEvent, head: Checkpoint, report: Report): boolean {
  const where = `${log} event ${index}`
  const hashes = decodeProof(proof)
  if (hashes === null) report(where, 'Its inclusion proof is malformed.')
  else if (event.log !== log) report(where, 'The event says that it is of the other log.')
  else if (!verifyInclusion(index, head.size, eventLeafHash(canonicalJson({ ...event })), hashes, head.root)) {
    report(where, `The event or its inclusion proof was changed: it is not proven to be in the tree of ${head.size}.`)
  } else return true
  return false
}

function comparePage(found: string, expected: string, fileBytes: number, report: Report): void {
  if (found === expected) return
  const at = firstDifference(found, expected)
  const byte = fileBytes - Buffer.byteLength(found) + Buffer.byteLength(found.slice(0, at))
  report(`byte ${byte}`, 'The page does not say what its machine part says.')
}

function decodeUtf8(bytes: Uint8Array, report: Report): string | null {
  if (bytes.length > BUNDLE_MAX_BYTES) {
    report(`byte ${BUNDLE_MAX_BYTES}`, 'The file is larger than a bundle can be.')
    return null
  }
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  const again = new TextEncoder().encode(text)
  const at = firstDifference(bytes, again)
  if (at === bytes.length && bytes.length === again.length) return text
  report(`byte ${at}`, 'The file is not UTF-8 text.')
  return null
}

import { RekeyError } from '../kernel/index.ts'
import type { BundleContent, BundleEvent, BundleLog } from './bundle.model.ts'
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
}

const PROBLEMS_MAX = 1000

/**
 * Checks a bundle with nothing but its bytes and the verifier key, and reports every fault with its place: the frame, each record,
 * each checkpoint's signature, the consistency of each with the one before, the inclusion of each event, and the page, which
 * must be to the byte what the machine part renders to. Hostile bytes give problems, never an exception.
 * Throws `bad_input` only for a `key` that is not a verifier key.
 *
 * What it cannot see: whether newer checkpoints exist than the bundle carries. Keep the last size and root to compare.
 */
export function verifyBundle(bytes: Uint8Array, key: string): BundleVerdict {
  const verifier = parseVerifierKey(key)
  const problems: Finding[] = []
  const report: Report = (where, what) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ where, what })
  }
  const logs: { [log in LogName]: LogVerdict } = { credential: NOTHING, identity: NOTHING }
  const text = decodeUtf8(bytes, report)
  const bundle = text === null ? null : readBundle(text, report)
  if (text === null || bundle === null) return { ok: false, problems, logs }

  const allRead = problems.length === 0
  if (allRead && bundle.content.key !== formatVerifierKey(verifier))
    report('first record', 'The bundle names another key than the one given.')
  for (const log of LOGS) {
    const found = verifyLog(log, bundle.content.logs[log], verifier, report)
    logs[log] = { ...found, complete: found.complete && allRead }
    checkNothingLeftOut(log, bundle.content, logs[log].size, allRead, report)
  }
  const { filter, logs: told } = bundle.content
  const unsigned = LOGS.every((log) => told[log].checkpoints.length === 0)
  if (allRead && unsigned && filter.since === null && filter.credential === null) {
    report('bundle', 'There is no signed checkpoint in it: it proves nothing.')
  }
  // With records missing the page would differ in any case, and its offset would only mislead.
  if (allRead) comparePage(bundle.page, renderReport(bundle.content), bytes.length, report)
  return { ok: problems.length === 0, problems, logs }
}

/**
 * A bundle that says it holds everything must: an event could be taken out of it without touching another. One that says it was
 * chosen by credential or time is told `complete: false`, and what was not chosen cannot be known from it.
 */
function checkNothingLeftOut(log: LogName, { filter, logs }: BundleContent, size: number, allRead: boolean, report: Report): void {
  const chosen = filter.since !== null || filter.credential !== null
  const held = logs[log].events.length
  if (chosen || !allRead || held >= size) return
  report(`${log} log`, `The bundle says that it holds all events, but only ${held} of ${size} are there: some were left out.`)
}

const NOTHING: LogVerdict = { size: 0, root: Buffer.from(EMPTY_ROOT).toString('base64'), events: 0, complete: false }

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

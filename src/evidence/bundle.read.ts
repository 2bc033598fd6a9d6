import type { Json } from '../kernel/index.ts'
import { BUNDLE_FORMAT } from './bundle.head.ts'
import type { BundleCheckpoint, BundleContent, BundleEvent, BundleFilter, BundleHead, LogStatement } from './bundle.model.ts'
import { BUNDLE_HEAD, BUNDLE_MIDDLE, encodeRecord } from './bundle.ts'
import { firstDifference } from './canonical.ts'
import { type EventBody, faultOfEvent, isObject, LOGS, type LogName } from './event.ts'
import { strictBase64 } from './note.ts'

/** Something wrong: at which place, and what. Both are for people. */
export interface Finding {
  readonly where: string
  readonly what: string
}

/** Takes note of something wrong. */
export type Report = (where: string, what: string) => void

/** A bundle taken apart: the records that could be read. */
export interface ReadBundle {
  /** What it says of itself, and the note over that; `null` if the first record could not be read, which is reported. */
  readonly head: SignedHead | null
  readonly logs: BundleContent['logs']
  /** What follows the machine part. */
  readonly page: string
}

type SignedHead = Pick<BundleContent, 'head' | 'note'>

interface Draft {
  head: SignedHead | null
  readonly logs: { readonly [log in LogName]: { readonly checkpoints: BundleCheckpoint[]; readonly events: BundleEvent[] } }
}

const HASH_BYTES = 32
const PROOF_MAX = 128
const NOT_A_HEAD = 'The first record is not that of a bundle of this format.'
const OLD_FORMAT = 'rekey-evidence-bundle/1'
const OLD_HEAD = 'The bundle is of the first format, in which nothing signs what it says of itself: export it again.'
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/**
 * Takes a bundle's text apart. The input is hostile: every fault goes to `report` with its byte and line, and only records that are
 * exactly of the written form come back. Returns `null` if not even the frame could be found.
 */
export function readBundle(text: string, report: Report): ReadBundle | null {
  const frame = readFrame(text, report)
  if (frame === null) return null
  const draft: Draft = {
    head: null,
    logs: { credential: { checkpoints: [], events: [] }, identity: { checkpoints: [], events: [] } },
  }
  let position = Buffer.byteLength(BUNDLE_HEAD) + 2
  let place = ''
  for (const [i, line] of frame.lines.entries()) {
    const where = `line ${BUNDLE_HEAD_LINES + 2 + i}, byte ${position}`
    const last = i === frame.lines.length - 1
    const record = readRecord(last ? line : line.slice(0, -1), where, report)
    if (!last && !line.endsWith(',')) report(where, 'The record does not end with a comma.')
    if (record !== null) place = takeRecord(record, i, draft, { where, place, report })
    position += Buffer.byteLength(line) + 1
  }
  return { ...draft, page: frame.page }
}

/** The base64 hashes of a proof. `null` unless each is 32 bytes in strict base64. */
export function decodeProof(proof: readonly string[]): Uint8Array[] | null {
  const hashes = proof.map(strictBase64).filter((hash) => hash?.length === HASH_BYTES) as Uint8Array[]
  return hashes.length === proof.length ? hashes : null
}

const BUNDLE_HEAD_LINES = BUNDLE_HEAD.split('\n').length - 1

function readFrame(text: string, report: Report): { lines: string[]; page: string } | null {
  const opening = `${BUNDLE_HEAD}[\n`
  if (!text.startsWith(opening)) {
    report(`byte ${byteAt(text, firstDifference(text, opening))}`, 'The file does not begin as an evidence bundle does.')
    return null
  }
  // No record holds `<`: the first one must belong to the end of the machine part.
  const end = text.indexOf('<', opening.length)
  const closing = `\n]${BUNDLE_MIDDLE}`
  const start = end - closing.indexOf('<')
  const found = end < 0 ? '' : text.slice(start, start + closing.length)
  if (found !== closing) {
    // No record holds a newline either: if the list is closed before the first `<`, that is where the frame was meant to end.
    const bracket = text.indexOf('\n]', opening.length)
    const from = bracket >= 0 && bracket < end ? bracket : end < 0 ? text.length : Math.max(start, opening.length)
    const at = from + firstDifference(text.slice(from, from + closing.length), closing)
    report(`byte ${byteAt(text, at)}`, 'The machine part does not end here as it should, or a "<" was put into it.')
    return null
  }
  return { lines: text.slice(opening.length, start).split('\n'), page: text.slice(start + closing.length) }
}

function readRecord(line: string, where: string, report: Report): { readonly [key: string]: Json } | null {
  try {
    const value = JSON.parse(line) as Json
    const written = encodeRecord(value)
    if (isObject(value) && written === line) return value
    report(where, `The record is not in canonical form from its character ${firstDifference(written, line)} on.`)
  } catch {
    report(where, 'The record is not JSON.')
  }
  return null
}

interface Place {
  readonly where: string
  /** Where the record before this one stands in the order of a bundle. */
  readonly place: string
  readonly report: Report
}

/** Puts a record where it belongs and returns its place in the order; reports and leaves out what is not a record or out of order. */
function takeRecord(record: { readonly [key: string]: Json }, i: number, draft: Draft, { where, place, report }: Place): string {
  const { logs } = draft
  const log = LOGS.find((name) => name === record.log)
  const kind = record.record
  const size = { checkpoint: log === undefined ? 0 : logs[log].checkpoints.length, event: Number(record.index) }
  const mine = kind === 'bundle' ? '0' : kind === 'checkpoint' ? order(log, 0, size.checkpoint) : order(log, 1, size.event)
  if ((i === 0) !== (kind === 'bundle') || (i > 0 && mine <= place)) {
    report(where, 'The record is out of order.')
    return place
  }
  if (kind === 'bundle') draft.head = readHead(record, where, report)
  else if (kind === 'checkpoint' && log !== undefined && isCheckpoint(record)) logs[log].checkpoints.push(record)
  else if (kind === 'event' && log !== undefined && isEvent(record, log, where, report)) logs[log].events.push(record)
  else report(where, `The ${kind === 'event' && log !== undefined ? `${log} event ${size.event}` : 'record'} is not of a known form.`)
  return mine
}

function readHead(record: { readonly [key: string]: Json }, where: string, report: Report): SignedHead | null {
  const { format, key, exportedAt, filter, logs, note } = record
  if (format === OLD_FORMAT) {
    report(where, OLD_HEAD)
    return null
  }
  const sound =
    members(record) === 'exportedAt,filter,format,key,logs,note,record' &&
    format === BUNDLE_FORMAT &&
    typeof key === 'string' &&
    typeof note === 'string' &&
    isTime(exportedAt) &&
    isFilter(filter) &&
    areStatements(logs)
  if (sound) return { head: { key, exportedAt, filter, logs }, note }
  report(where, NOT_A_HEAD)
  return null
}

function isFilter(value: Json | undefined): value is Json & BundleFilter {
  if (!isObject(value ?? null)) return false
  const { credential, since, ...rest } = value as { [key: string]: Json }
  return isTextOrNull(credential) && (since === null || isTime(since)) && members(rest) === ''
}

function areStatements(value: Json | undefined): value is Json & BundleHead['logs'] {
  const told = value as { [key: string]: Json }
  return isObject(value ?? null) && members(told) === [...LOGS].sort().join() && LOGS.every((log) => isStatement(told[log]))
}

function isStatement(value: Json | undefined): value is Json & LogStatement {
  if (!isObject(value ?? null)) return false
  const { root, ...counts } = value as { [key: string]: Json }
  return (
    members(counts) === 'checkpoints,events,pending,size' &&
    Object.values(counts).every(isCount) &&
    typeof root === 'string' &&
    strictBase64(root)?.length === HASH_BYTES
  )
}

type CheckpointRecord = { readonly [key: string]: Json } & BundleCheckpoint
type EventRecord = { readonly [key: string]: Json } & {
  readonly index: number
  readonly event: Json & EventBody
  readonly proof: readonly string[]
}

function isCheckpoint(record: { readonly [key: string]: Json }): record is CheckpointRecord {
  return members(record) === 'log,note,proof,record' && typeof record.note === 'string' && isProof(record.proof)
}

function isEvent(record: { readonly [key: string]: Json }, log: LogName, where: string, report: Report): record is EventRecord {
  if (members(record) !== 'event,index,log,proof,record' || !isCount(record.index) || !isProof(record.proof)) return false
  const fault = faultOfEvent(record.event ?? null)
  if (fault !== null) report(where, `${log} event ${record.index}: ${fault}.`)
  return fault === null
}

function isProof(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.length <= PROOF_MAX && value.every((hash) => typeof hash === 'string')
}

function isTextOrNull(value: Json | undefined): value is string | null {
  return value === null || typeof value === 'string'
}

function isTime(value: Json | undefined): value is string {
  return typeof value === 'string' && TIME.test(value)
}

function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function members(record: { readonly [key: string]: Json }): string {
  return Object.keys(record).sort().join()
}

/** A text that sorts as the records of a bundle follow each other. */
function order(log: LogName | undefined, kind: 0 | 1, n: number): string {
  return `1 ${log ?? ''} ${kind} ${String(n).padStart(16, '0')}`
}

function byteAt(text: string, character: number): number {
  return Buffer.byteLength(text.slice(0, character))
}

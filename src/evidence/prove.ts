import { type Ctx, type Json, RekeyError } from '../kernel/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { isChosen, signHead } from './bundle.head.ts'
import type { BundleCheckpoint, BundleContent, BundleEvent, BundleFilter, BundleHead, BundleLog, LogStatement } from './bundle.model.ts'
import { BUNDLE_MAX_BYTES, encodeBundle, tooLarge } from './bundle.ts'
import { parseCanonicalJson } from './canonical.ts'
import { openCheckpoint } from './checkpoint.ts'
import type { EventBody, LogName } from './event.ts'
import { consistencyNodes, consistencyProof, EMPTY_ROOT, type Hash, inclusionNodes, inclusionProof } from './merkle.ts'
import { formatVerifierKey, type Signer } from './note.ts'
import { readerOf } from './sequence.ts'
import * as rows from './store.ts'

/** Which events a bundle is to hold; all of them by default. */
export interface ExportOptions {
  /** Only events at or after this time. */
  readonly since?: Date
  /** Only events of the credential with this name. The identity log then stays out but for its checkpoints. */
  readonly credential?: string
}

/**
 * Checkpoints of one log in a bundle: the first, and the latest so many. Skipped ones are bridged by the proof between their
 * neighbours.
 */
const CHECKPOINTS_LATEST = 499
const EVENTS_AT_ONCE = 5000

/**
 * The proof that leaf `index` is in the published tree of `size` leaves. Throws `not_found` if that tree is not published or has no
 * such leaf.
 */
export async function inclusion(store: Sql, log: LogName, index: number, size: number): Promise<Hash[]> {
  await mustReach(store, log, size)
  if (index < 0 || index >= size) throw new RekeyError('not_found', `The ${log} log has no event ${index} at size ${size}.`)
  return inclusionProof(index, size, readerOf(await rows.readNodes(store, log, inclusionNodes(index, size))))
}

/**
 * The proof that the tree of `from` leaves begins the published tree of `to`. Throws `not_found` unless `0 < from <= to` and `to` is
 * published.
 */
export async function consistency(store: Sql, log: LogName, from: number, to: number): Promise<Hash[]> {
  await mustReach(store, log, to)
  if (from <= 0 || from > to) throw new RekeyError('not_found', `The ${log} log has nothing to prove from size ${from} to ${to}.`)
  return consistencyProof(from, to, readerOf(await rows.readNodes(store, log, consistencyNodes(from, to))))
}

/** The verifier key of this database's evidence, in text; `null` before the first checkpoint. */
export async function publishedKey(store: Sql): Promise<string | null> {
  const key = await rows.readKey(store)
  return key === null ? null : formatVerifierKey({ name: key.name, publicKey: key.public_key })
}

/**
 * A bundle of what is published, one self-contained HTML file, with a head signed by `signer` that says what is in it. All of it is of
 * one moment. Events not yet sequenced are left out, and counted in it. Throws `not_found` before the first checkpoint, `too_large`
 * past the bound of a bundle, `evidence_damaged` if a stored event, node or checkpoint cannot be used, or if the database's evidence is
 * signed by another key than `signer`.
 */
export async function exportBundle(store: Store, ctx: Ctx, signer: Signer, options: ExportOptions = {}): Promise<string> {
  const content = await store.onConnection(async (sql) => {
    // One snapshot: what the head says of pending events and trees must be true of one and the same moment.
    await sql.query('begin transaction isolation level repeatable read read only')
    try {
      return await readContent(sql, ctx, signer, options)
    } finally {
      await sql.query('rollback')
    }
  })
  return encodeBundle(content)
}

async function readContent(sql: Sql, ctx: Ctx, signer: Signer, options: ExportOptions): Promise<BundleContent> {
  const key = await publishedKey(sql)
  if (key === null)
    throw new RekeyError('not_found', 'Nothing is published yet.', { hint: 'Evidence is signed a moment after it is written.' })
  if (key !== formatVerifierKey(signer)) throw damaged('The evidence of this database is signed by another key than this installation has.')
  const exportedAt = ctx.clock.now().toISOString()
  const filter = { credential: options.credential ?? null, since: options.since?.toISOString() ?? null }
  const credential = await exportLog(sql, ctx, 'credential', signer, filter)
  const identity = await exportLog(sql, ctx, 'identity', signer, filter)
  const head: BundleHead = { key, exportedAt, filter, logs: { credential: credential.told, identity: identity.told } }
  const logs = { credential: credential.log, identity: identity.log }
  return { head, note: signHead(head, signer), logs }
}

async function exportLog(
  sql: Sql,
  ctx: Ctx,
  log: LogName,
  signer: Signer,
  filter: BundleFilter,
): Promise<{ readonly log: BundleLog; readonly told: LogStatement }> {
  const published = await rows.checkpoints(sql, log, CHECKPOINTS_LATEST)
  const last = published.at(-1)
  // What is signed here must be what was signed then: rows that say otherwise are not vouched for.
  const { size, root } = last === undefined ? { size: 0, root: EMPTY_ROOT } : openCheckpoint(last.note, signer, log)
  if (last !== undefined && last.size !== size) throw damaged(`The last checkpoint of the ${log} log is stored under another size.`)
  const chosen = log === 'identity' && filter.credential !== null ? [] : await chooseEvents(sql, ctx, log, size, filter)
  if (!isChosen(filter) && chosen.length !== size) throw damaged(`Events of the ${log} log are missing.`)
  const steps = published.slice(1).map((checkpoint, i) => ({ from: published[i]?.size ?? 0, to: checkpoint.size }))
  const read = readerOf(
    await rows.readNodes(sql, log, [
      ...chosen.flatMap(({ index }) => inclusionNodes(index, size)),
      ...steps.flatMap(({ from, to }) => consistencyNodes(from, to)),
    ]),
  )
  const proofs = [[], ...steps.map(({ from, to }) => consistencyProof(from, to, read))]
  const checkpoints = published.map(({ note }, i): BundleCheckpoint => ({ note, proof: (proofs[i] ?? []).map(base64) }))
  const events = chosen.map((one): BundleEvent => ({ ...one, proof: inclusionProof(one.index, size, read).map(base64) }))
  const counts = { checkpoints: checkpoints.length, events: events.length, pending: await rows.countPending(sql, log) }
  return { log: { checkpoints, events }, told: { size, root: base64(root), ...counts } }
}

async function chooseEvents(sql: Sql, ctx: Ctx, log: LogName, size: number, filter: BundleFilter) {
  const chosen: { index: number; event: EventBody }[] = []
  // Stops before memory does: about as many bytes as the records will have, base64 proofs included.
  const proofBytes = 47 * Math.ceil(Math.log2(size + 1))
  let bytes = 0
  for (let from = 0; from < size; ) {
    ctx.signal.throwIfAborted()
    const range = { from, size, limit: EVENTS_AT_ONCE, subject: filter.credential, since: filter.since }
    const found = await rows.events(sql, log, range)
    for (const row of found) {
      bytes += row.body.length + proofBytes
      chosen.push({ index: row.leaf_index, event: readBody(row, log) })
    }
    if (bytes > BUNDLE_MAX_BYTES) throw tooLarge()
    if (found.length < EVENTS_AT_ONCE) break
    from = (found.at(-1)?.leaf_index ?? size) + 1
  }
  return chosen
}

function readBody({ body, leaf_index }: rows.EventRow, log: LogName): EventBody {
  let value: Json
  try {
    value = parseCanonicalJson(body)
  } catch (cause) {
    throw damaged(`Event ${leaf_index} of the ${log} log was changed.`, cause)
  }
  return value as unknown as EventBody
}

async function mustReach(store: Sql, log: LogName, size: number): Promise<void> {
  const last = await rows.lastCheckpoint(store, log)
  if (!Number.isSafeInteger(size) || size > (last?.size ?? 0)) throw new RekeyError('not_found', `The ${log} log has no tree of ${size}.`)
}

function damaged(message: string, cause?: unknown): RekeyError {
  return new RekeyError('evidence_damaged', message, { ...(cause === undefined ? {} : { cause }), hint: 'Run `rekey fsck`.' })
}

function base64(hash: Hash): string {
  return Buffer.from(hash).toString('base64')
}

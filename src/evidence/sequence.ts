import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { originOf, signCheckpoint } from './checkpoint.ts'
import { eventLeafHash, LOGS, type LogName } from './event.ts'
import { EMPTY_ROOT, frontier, grow, type NodeReader, nodeKey, sameBytes, treeHead } from './merkle.ts'
import type { Signer } from './note.ts'
import * as rows from './store.ts'

/** Most events of one log in one batch: one signature and one commit for all of them. */
export const SEQUENCE_BATCH = 2000

/**
 * Gives waiting events their places: takes up to `SEQUENCE_BATCH` of each log that are visible and have none, in order of id, grows
 * the trees and signs one checkpoint for each log that grew, all in one transaction. Resolves with how many events it placed; call
 * again until 0. Any number of processes may call it: they take turns, and nobody who appends ever waits for it.
 *
 * A crash at any moment leaves either all of a batch or nothing. Ids may become visible out of order (a long transaction commits
 * late): such an event gets a later place, since a place is given once and only to what is there.
 *
 * Rejected: placing events as they are appended. It takes one lock per log from insert to commit, so that every rotation waits for
 * the disk of every other; appending would be limited to one commit at a time.
 *
 * Throws `conflict` if this database's evidence is signed by another key, `evidence_damaged` if the stored tree is not the one
 * that the last checkpoint signed: nothing is built on a damaged log.
 */
export function sequence(store: Store, ctx: Ctx, signer: Signer): Promise<number> {
  return store.inTx(async (tx) => {
    await rows.lockSequencer(tx)
    let placed = 0
    for (const log of LOGS) placed += await sequenceLog(tx, ctx, signer, log)
    return placed
  })
}

async function sequenceLog(tx: Tx, ctx: Ctx, signer: Signer, log: LogName): Promise<number> {
  const waiting = await rows.unsequenced(tx, log, SEQUENCE_BATCH)
  if (waiting.length === 0) return 0
  await checkKey(tx, signer)
  const { size, hashes } = await loadFrontier(tx, log)
  const read = readerOf(hashes)
  const leaves = waiting.map(({ body }) => eventLeafHash(body))
  const made = grow(size, leaves, read)
  for (const node of made) hashes.set(nodeKey(node), node.hash)
  await rows.setIndexes(
    tx,
    waiting.map(({ id }) => id),
    size,
  )
  await rows.insertNodes(tx, log, made)
  const newSize = size + leaves.length
  const root = treeHead(newSize, read)
  const at = ctx.clock.now().toISOString()
  const note = signCheckpoint({ origin: originOf(signer.name, log), size: newSize, root, at }, signer)
  await rows.insertCheckpoint(tx, log, { size: newSize, root, note, at })
  return leaves.length
}

/** The stored right edge of the tree, which must hash to the last published root. */
async function loadFrontier(tx: Tx, log: LogName) {
  const last = await rows.lastCheckpoint(tx, log)
  const size = last?.size ?? 0
  const hashes = await rows.readNodes(tx, log, frontier(size))
  if (!sameBytes(treeHead(size, readerOf(hashes)), last?.root ?? EMPTY_ROOT)) {
    throw new RekeyError('evidence_damaged', `The stored tree of the ${log} log is not the one that its last checkpoint signed.`, {
      hint: 'Run `rekey fsck` to see where.',
    })
  }
  return { size, hashes }
}

async function checkKey(tx: Tx, signer: Signer): Promise<void> {
  await rows.insertKey(tx, signer.name, signer.publicKey)
  const key = await rows.readKey(tx)
  if (key?.name === signer.name && sameBytes(key.public_key, signer.publicKey)) return
  throw new RekeyError('conflict', 'The evidence of this database is signed by another key.')
}

/** Reads nodes from a map by `nodeKey`; throws `evidence_damaged` for one that is not there. */
export function readerOf(hashes: ReadonlyMap<string, Uint8Array>): NodeReader {
  return (at) => {
    const hash = hashes.get(nodeKey(at))
    if (hash === undefined) throw new RekeyError('evidence_damaged', `Node ${nodeKey(at)} of the stored tree is missing.`)
    return hash
  }
}

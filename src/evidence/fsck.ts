import { type Ctx, counted, messageOf, timeText } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import type { Finding, Report } from './bundle.read.ts'
import { parseCanonicalJson } from './canonical.ts'
import { openCheckpoint } from './checkpoint.ts'
import { eventLeafHash, faultOfEvent, isObject, LOGS, type LogName } from './event.ts'
import { logFigures } from './figures.ts'
import { frontier, grow, type Hash, nodeKey, sameBytes, treeHead } from './merkle.ts'
import { parseVerifierKey, type VerifierKey } from './note.ts'
import { readerOf } from './sequence.ts'
import * as rows from './store.ts'

const FINDINGS_MAX = 1000
const EVENTS_AT_ONCE = 5000

/**
 * Checks the stored evidence from outside: recomputes everything from the bodies of the events and compares. Indexes without holes,
 * bodies canonical and of the shape of an event, the columns beside them, every node of the tree, every checkpoint's root and
 * signature, and the row that names the signing key. Each root is recomputed from one and the same sequence of leaves, which makes
 * every checkpoint consistent with the one before. Memory stays flat; appenders and the sequencer may go on meanwhile.
 *
 * Resolves with what is wrong, at most 1,000 findings, in order; with nothing if all is well. Throws `bad_input` only for a `key` that
 * is not a verifier key, `unavailable` and `database_failed` from the database.
 */
export async function fsck(store: Store, ctx: Ctx, key: string): Promise<readonly Finding[]> {
  const verifier = parseVerifierKey(key)
  const findings: Finding[] = []
  const report: Report = (where, what) => {
    if (findings.length < FINDINGS_MAX) findings.push({ where, what })
  }
  await checkKeyRow(store, verifier, report)
  for (const { log, size } of await rows.strayCheckpoints(store, LOGS)) report(`${log} checkpoint of ${size}`, 'There is no such log.')
  for (const log of LOGS) await checkLog(store, ctx, log, verifier, report)
  return findings
}

/** The row that names the key is made with the first checkpoint, and never changes. */
async function checkKeyRow(store: Store, verifier: VerifierKey, report: Report): Promise<void> {
  // Before the row: a first checkpoint that comes between the two has written it.
  const figures = await logFigures(store)
  const row = await rows.readKey(store)
  if (row === null && figures.some(({ checkpoint }) => checkpoint !== null)) {
    report('signing key', 'The database names none, though it holds signed checkpoints: its row was taken away.')
  } else if (row !== null && (row.name !== verifier.name || !sameBytes(row.public_key, verifier.publicKey))) {
    report('signing key', 'The database names another key than this installation signs with.')
  }
}

/** The tree as recomputed so far: its size and the perfect subtrees of its right edge, which is all that growing needs. */
interface Tree {
  size: number
  /** Hashes that are not those of the events: what stands above one is wrong because of it, and only counted. */
  readonly wrong: Set<string>
  above: number
  edge: Map<string, Hash>
}

async function checkLog(store: Store, ctx: Ctx, log: LogName, key: VerifierKey, report: Report): Promise<void> {
  const published = await rows.checkpoints(store, log)
  const size = published.at(-1)?.size ?? 0
  const beyond = await rows.countBeyond(store, log, size)
  // A sequencer may have published meanwhile; only what is still unsigned after that is wrong.
  if (beyond.events + beyond.nodes > 0 && ((await rows.lastCheckpoint(store, log))?.size ?? 0) === size) {
    report(`${log} log`, `${counted(beyond.events, 'event')} and ${counted(beyond.nodes, 'node')} have a place that no checkpoint signs.`)
  }
  const tree: Tree = { size: 0, wrong: new Set(), above: 0, edge: new Map() }
  for (const checkpoint of published) {
    if (!(await replay(store, ctx, log, tree, checkpoint.size, report))) break
    checkCheckpoint(log, checkpoint, tree, key, report)
  }
  if (tree.above > 0) report(`${log} log`, `${counted(tree.above, 'hash', 'hashes')} and roots above what is named differ because of it.`)
}

/** Grows the tree to `to` from the stored bodies. False if it cannot go on: every later hash would differ for the same reason. */
async function replay(store: Store, ctx: Ctx, log: LogName, tree: Tree, to: number, report: Report): Promise<boolean> {
  while (tree.size < to) {
    ctx.signal.throwIfAborted()
    const limit = Math.min(EVENTS_AT_ONCE, to - tree.size)
    const found = await rows.events(store, log, { from: tree.size, size: to, limit, subject: null, since: null })
    const hole = found.findIndex(({ leaf_index }, i) => leaf_index !== tree.size + i)
    if (hole >= 0 || found.length < limit) {
      report(`${log} event ${tree.size + (hole >= 0 ? hole : found.length)}`, 'The event is missing; nothing behind it can be checked.')
      return false
    }
    for (const row of found) checkEvent(log, row, report)
    await checkNodes(store, log, tree, found, report)
  }
  return true
}

function checkEvent(log: LogName, { leaf_index, subject, at, body }: rows.EventRow, report: Report): void {
  const where = `${log} event ${leaf_index}`
  try {
    const value = parseCanonicalJson(body)
    const fault = faultOfEvent(value)
    if (fault !== null) report(where, `The body is not that of an event: ${fault}.`)
    else if (isObject(value) && (value.log !== log || value.subject !== subject || value.at !== timeText(at))) {
      report(where, 'The columns beside the body say something else than the body.')
    }
  } catch (error) {
    report(where, `The body was changed: ${messageOf(error)}`)
  }
}

async function checkNodes(store: Store, log: LogName, tree: Tree, found: readonly rows.EventRow[], report: Report): Promise<void> {
  const made = grow(
    tree.size,
    found.map(({ body }) => eventLeafHash(body)),
    readerOf(tree.edge),
  )
  const stored = await rows.readNodes(store, log, made)
  for (const node of made) {
    const hash = stored.get(nodeKey(node))
    const what = node.level === 0 ? `${log} event ${node.index}` : `${log} node ${nodeKey(node)}`
    if (hash === undefined) report(what, 'The stored hash is missing.')
    else if (!sameBytes(hash, node.hash)) {
      const { level, index } = node
      const below = [2 * index, 2 * index + 1].some((child) => tree.wrong.has(nodeKey({ level: level - 1, index: child })))
      if (below) tree.above++
      else report(what, 'The stored hash is not that of the stored events.')
      tree.wrong.add(nodeKey(node))
    }
    tree.edge.set(nodeKey(node), node.hash)
  }
  tree.size += found.length
  const edge = frontier(tree.size).map(nodeKey)
  tree.edge = new Map(edge.map((name) => [name, tree.edge.get(name) ?? new Uint8Array()]))
}

type Published = Awaited<ReturnType<typeof rows.checkpoints>>[number]

function checkCheckpoint(log: LogName, { size, root, note, at }: Published, tree: Tree, key: VerifierKey, report: Report): void {
  const where = `${log} checkpoint of ${size}`
  const computed = treeHead(size, readerOf(tree.edge))
  const differs = (what: string) => {
    if (tree.wrong.size > 0) tree.above++
    else report(where, what)
  }
  if (!sameBytes(root, computed)) differs('The stored root is not that of the stored events.')
  try {
    const signed = openCheckpoint(note, key, log)
    if (signed.size !== size) report(where, `What is signed is a tree of ${signed.size}.`)
    else if (!sameBytes(signed.root, computed)) differs('The signed root is not that of the stored events.')
    if (timeText(at) !== signed.at) report(where, `It was signed at ${signed.at}; the table says ${timeText(at)}.`)
  } catch (error) {
    report(where, messageOf(error))
  }
}

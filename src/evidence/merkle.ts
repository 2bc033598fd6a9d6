import { createHash } from 'node:crypto'
import { RekeyError } from '../kernel/index.ts'

/** A SHA-256 hash: 32 bytes. */
export type Hash = Uint8Array

/** A perfect subtree: its root covers the leaves `[index * 2^level, (index + 1) * 2^level)`. Level 0 holds the leaf hashes. */
export interface NodeAt {
  readonly level: number
  readonly index: number
}

/** Gives the hash of a perfect subtree. Throws if it has none: the maker of a proof cannot go on without. */
export type NodeReader = (at: NodeAt) => Hash

/** Leaves `[from, to)`, a subtree as RFC 6962 section 2.1 cuts it. */
type Range = readonly [from: number, to: number]

const HASH_BYTES = 32
const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/** The root of the tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1). */
export const EMPTY_ROOT: Hash = sha256()

/** Hash of a leaf's bytes: SHA-256(0x00 || data), RFC 6962 section 2.1. */
export function leafHash(data: Uint8Array): Hash {
  return sha256(LEAF, data)
}

/** Hash of an inner node: SHA-256(0x01 || left || right), RFC 6962 section 2.1. The prefix keeps a node from passing for a leaf. */
export function nodeHash(left: Hash, right: Hash): Hash {
  return sha256(NODE, left, right)
}

/** A node's name, fit as a key of a `Map`. */
export function nodeKey({ level, index }: NodeAt): string {
  return `${level}/${index}`
}

/** The perfect subtrees that make up the tree of `size` leaves, largest (leftmost) first: all that must be read to let it grow. */
export function frontier(size: number): NodeAt[] {
  checkSize(size)
  return perfectNodes([0, size])
}

/** Root of the tree of `size` leaves (RFC 9162 section 2.1.1), from its stored perfect subtrees. */
export function treeHead(size: number, read: NodeReader): Hash {
  checkSize(size)
  return size === 0 ? EMPTY_ROOT : rangeHash([0, size], read)
}

/**
 * The perfect subtrees that come to exist when `leaves` (leaf hashes) are put behind a tree of `size` leaves, in the order of
 * their making. Reads only nodes of `frontier(size)`.
 */
export function grow(size: number, leaves: readonly Hash[], read: NodeReader): (NodeAt & { readonly hash: Hash })[] {
  checkSize(size + leaves.length)
  const made: (NodeAt & { readonly hash: Hash })[] = []
  // One pending left sibling a level at most, exactly as a binary counter carries.
  const pending = new Map(frontier(size).map((at) => [at.level, at]))
  const hashes = new Map<string, Hash>()
  for (const [i, leaf] of leaves.entries()) {
    let node = { level: 0, index: size + i, hash: leaf }
    made.push(node)
    for (let left = pending.get(node.level); left !== undefined; left = pending.get(node.level)) {
      pending.delete(node.level)
      const leftHash = hashes.get(nodeKey(left)) ?? read(left)
      hashes.delete(nodeKey(left))
      node = { level: node.level + 1, index: left.index / 2, hash: nodeHash(leftHash, node.hash) }
      made.push(node)
    }
    pending.set(node.level, node)
    hashes.set(nodeKey(node), node.hash)
  }
  return made
}

/** The stored nodes that `inclusionProof` will read. Throws `bad_input` unless `index < size`. */
export function inclusionNodes(index: number, size: number): NodeAt[] {
  return inclusionRanges(index, size).flatMap(perfectNodes)
}

/**
 * The audit path of leaf `index` in the tree of `size` leaves, leaf end first (RFC 9162 section 2.1.3.1).
 * Throws `bad_input` unless `index < size`.
 */
export function inclusionProof(index: number, size: number, read: NodeReader): Hash[] {
  return inclusionRanges(index, size).map((range) => rangeHash(range, read))
}

/** The stored nodes that `consistencyProof` will read. Throws `bad_input` unless `0 < from <= to`. */
export function consistencyNodes(from: number, to: number): NodeAt[] {
  return consistencyRanges(from, to).flatMap(perfectNodes)
}

/**
 * The proof that the tree of `from` leaves begins the tree of `to` leaves (RFC 9162 section 2.1.4.1); empty if they are equal.
 * Throws `bad_input` unless `0 < from <= to`: of the empty tree there is nothing to prove.
 */
export function consistencyProof(from: number, to: number, read: NodeReader): Hash[] {
  return consistencyRanges(from, to).map((range) => rangeHash(range, read))
}

/**
 * True if `proof` shows that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with this root
 * (RFC 9162 section 2.1.3.2). Never throws: what is malformed is not proven.
 */
export function verifyInclusion(index: number, size: number, leaf: Hash, proof: readonly Hash[], root: Hash): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || ![leaf, root, ...proof].every(isHash)) return false
  let fn = index
  let sn = size - 1
  let hash = leaf
  for (const part of proof) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      hash = nodeHash(part, hash)
      while (!isOdd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      hash = nodeHash(hash, part)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && sameBytes(hash, root)
}

/**
 * True if `proof` shows that the tree of `from` leaves with root `fromRoot` begins the tree of `to` leaves with root `toRoot`
 * (RFC 9162 section 2.1.4.2). Never throws: what is malformed is not proven, and neither is anything from size 0, with which
 * every tree is consistent, so that a proof would say nothing.
 */
export function verifyConsistency(from: number, to: number, fromRoot: Hash, toRoot: Hash, proof: readonly Hash[]): boolean {
  if (!isSize(from) || !isSize(to) || from === 0 || from > to || ![fromRoot, toRoot, ...proof].every(isHash)) return false
  if (from === to) return proof.length === 0 && sameBytes(fromRoot, toRoot)
  const path = isPowerOfTwo(from) ? [fromRoot, ...proof] : proof
  const [first, ...rest] = path
  if (first === undefined || proof.length === 0) return false
  let fn = from - 1
  let sn = to - 1
  while (isOdd(fn)) {
    fn = half(fn)
    sn = half(sn)
  }
  let older = first
  let newer = first
  for (const part of rest) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      older = nodeHash(part, older)
      newer = nodeHash(part, newer)
      while (!isOdd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      newer = nodeHash(newer, part)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && sameBytes(older, fromRoot) && sameBytes(newer, toRoot)
}

/** True if two byte strings are equal. Not in constant time: hashes and signatures are public. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function inclusionRanges(index: number, size: number): Range[] {
  if (!isSize(index) || !isSize(size) || index >= size) throw new RekeyError('bad_input', `There is no leaf ${index} in a tree of ${size}.`)
  const siblings: Range[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + splitPoint(to - from)
    if (index < middle) {
      siblings.push([middle, to])
      to = middle
    } else {
      siblings.push([from, middle])
      from = middle
    }
  }
  return siblings.reverse()
}

function consistencyRanges(older: number, newer: number): Range[] {
  if (!isSize(older) || !isSize(newer) || older === 0 || older > newer) {
    throw new RekeyError('bad_input', `There is no consistency proof from size ${older} to ${newer}.`)
  }
  const ranges: Range[] = []
  let [from, to] = [0, newer]
  while (to !== older) {
    const middle = from + splitPoint(to - from)
    if (older <= middle) {
      ranges.push([middle, to])
      to = middle
    } else {
      ranges.push([from, middle])
      from = middle
    }
  }
  // The older tree's own root need not be told when it is a whole subtree from the left edge.
  if (from !== 0) ranges.push([from, to])
  return ranges.reverse()
}

function perfectNodes([from, to]: Range): NodeAt[] {
  const nodes: NodeAt[] = []
  for (let start = from; start < to; ) {
    const [width, level] = largestPowerOfTwo(to - start)
    nodes.push({ level, index: start / width })
    start += width
  }
  return nodes
}

function rangeHash(range: Range, read: NodeReader): Hash {
  return perfectNodes(range)
    .map(read)
    .reduceRight((right, left) => nodeHash(left, right))
}

/** The largest power of two below `count` (RFC 6962's k), for `count` of 2 and more. */
function splitPoint(count: number): number {
  const [width] = largestPowerOfTwo(count)
  return width === count ? width / 2 : width
}

function largestPowerOfTwo(count: number): readonly [width: number, level: number] {
  let [width, level] = [1, 0]
  while (width * 2 <= count) {
    width *= 2
    level += 1
  }
  return [width, level]
}

// Sizes pass 2^32, where JavaScript's bit operators lose the upper half: hence arithmetic.
const half = (n: number): number => Math.floor(n / 2)
const isOdd = (n: number): boolean => n % 2 === 1
const isPowerOfTwo = (n: number): boolean => largestPowerOfTwo(n)[0] === n
const isSize = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
const isHash = (bytes: Uint8Array): boolean => bytes.length === HASH_BYTES

function checkSize(size: number): void {
  if (!isSize(size)) throw new RekeyError('bad_input', `${size} is not the size of a tree.`)
}

function sha256(...parts: readonly Uint8Array[]): Hash {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

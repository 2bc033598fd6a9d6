import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import ours from '../../test/vectors/evidence-merkle.json' with { type: 'json' }
import {
  consistencyNodes,
  consistencyProof,
  EMPTY_ROOT,
  frontier,
  grow,
  type Hash,
  inclusionNodes,
  inclusionProof,
  leafHash,
  type NodeAt,
  type NodeReader,
  nodeHash,
  nodeKey,
  treeHead,
  verifyConsistency,
  verifyInclusion,
} from './merkle.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const base64 = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'))
const leaves = (count: number) => Array.from({ length: count }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)))

/** RFC 6962 section 2.1, word for word: slow and without any storage. */
function mth(d: readonly Hash[]): Hash {
  const [first] = d
  if (first === undefined) return createHash('sha256').digest()
  if (d.length === 1) return first
  const k = split(d.length)
  return nodeHash(mth(d.slice(0, k)), mth(d.slice(k)))
}

/** RFC 6962 section 2.1.1. */
function path(m: number, d: readonly Hash[]): Hash[] {
  if (d.length === 1) return []
  const k = split(d.length)
  return m < k ? [...path(m, d.slice(0, k)), mth(d.slice(k))] : [...path(m - k, d.slice(k)), mth(d.slice(0, k))]
}

/** RFC 6962 section 2.1.2. */
function subproof(m: number, d: readonly Hash[], whole: boolean): Hash[] {
  if (m === d.length) return whole ? [] : [mth(d)]
  const k = split(d.length)
  return m <= k ? [...subproof(m, d.slice(0, k), whole), mth(d.slice(k))] : [...subproof(m - k, d.slice(k), false), mth(d.slice(0, k))]
}

function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** A log built up in the given steps; its reader refuses what was not stored. */
function stored(hashes: readonly Hash[], steps: readonly number[] = [hashes.length]) {
  const nodes = new Map<string, Hash>()
  const read: NodeReader = (at) => {
    const hash = nodes.get(nodeKey(at))
    if (hash === undefined) throw new Error(`node ${nodeKey(at)} is not stored`)
    return hash
  }
  let size = 0
  for (const step of [...steps, hashes.length]) {
    const batch = hashes.slice(size, Math.max(size, step))
    for (const node of grow(size, batch, read)) nodes.set(nodeKey(node), node.hash)
    size += batch.length
  }
  return { nodes, read }
}

const sizes = fc.integer({ min: 1, max: 200 })

describe('the tree', () => {
  test('of nothing, of one and of two leaves is hashed as RFC 6962 section 2.1 says', () => {
    expect(hex(EMPTY_ROOT)).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(hex(leafHash(new Uint8Array()))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d')
    const { read } = stored(leaves(2))
    expect(treeHead(0, read)).toEqual(EMPTY_ROOT)
    expect(hex(treeHead(1, read))).toBe(hex(leafHash(Buffer.from('leaf 0'))))
  })

  test('has the same head and nodes in whatever batches it grew, and the head of the slow definition', () => {
    fc.assert(
      fc.property(sizes, fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 6 }), (size, cuts) => {
        const steps = cuts.filter((cut) => cut < size).sort((a, b) => a - b)
        const all = leaves(size)
        const grown = stored(all, steps)
        expect(grown.nodes).toEqual(stored(all).nodes)
        expect(hex(treeHead(size, grown.read))).toBe(hex(mth(all)))
      }),
    )
  })

  test('reads only its frontier to grow', () => {
    fc.assert(
      fc.property(sizes, sizes, (size, more) => {
        const { read } = stored(leaves(size))
        const allowed = new Set(frontier(size).map(nodeKey))
        grow(size, leaves(more), (at) => {
          expect(allowed).toContain(nodeKey(at))
          return read(at)
        })
      }),
    )
  })

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('has no size %s', (size) => {
    expect(() => frontier(size)).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })
})

describe('an inclusion proof', () => {
  test('is that of the slow definition, reads only the nodes it names, and verifies', () => {
    fc.assert(
      fc.property(sizes, sizes, (a, b) => {
        const [index, size] = [Math.min(a, b) - 1, Math.max(a, b)]
        const all = leaves(size)
        const proof = inclusionProof(index, size, only(inclusionNodes(index, size), stored(all).read))
        expect(proof.map(hex)).toEqual(path(index, all).map(hex))
        expect(verifyInclusion(index, size, at(all, index), proof, mth(all))).toBe(true)
      }),
    )
  })

  test('does not verify at another index, for another leaf, with another root or with one bit flipped', () => {
    fc.assert(
      fc.property(sizes, sizes, fc.nat(), (a, b, seed) => {
        const [index, size] = [Math.min(a, b) - 1, Math.max(a, b)]
        const all = leaves(size)
        const [proof, root, leaf] = [path(index, all), mth(all), at(all, index)]
        for (let other = 0; other < size; other++) {
          if (other !== index) expect(verifyInclusion(other, size, leaf, proof, root)).toBe(false)
        }
        expect(verifyInclusion(index, size, flipped(leaf, seed), proof, root)).toBe(false)
        expect(verifyInclusion(index, size, leaf, proof, flipped(root, seed))).toBe(false)
        for (const i of proof.keys()) expect(verifyInclusion(index, size, leaf, replaced(proof, i, seed), root)).toBe(false)
        expect(verifyInclusion(index, size, leaf, [...proof, root], root)).toBe(false)
        expect(verifyInclusion(index, size, leaf, proof.slice(1), root)).toBe(proof.length === 0)
      }),
    )
  })

  test('is never made for a leaf outside the tree', () => {
    expect(() => inclusionNodes(3, 3)).toThrow(expect.objectContaining({ code: 'bad_input' }))
    expect(() => inclusionNodes(0, 0)).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })
})

describe('a consistency proof', () => {
  test('is that of the slow definition, reads only the nodes it names, and verifies', () => {
    fc.assert(
      fc.property(sizes, sizes, (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const all = leaves(to)
        const proof = consistencyProof(from, to, only(consistencyNodes(from, to), stored(all).read))
        expect(proof.map(hex)).toEqual(subproof(from, all, true).map(hex))
        expect(verifyConsistency(from, to, mth(all.slice(0, from)), mth(all), proof)).toBe(true)
      }),
    )
  })

  test('does not verify between other sizes, with another root, or with one bit flipped', () => {
    fc.assert(
      fc.property(sizes, sizes, fc.nat(), (a, b, seed) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const all = leaves(to)
        const [proof, older, newer] = [subproof(from, all, true), mth(all.slice(0, from)), mth(all)]
        expect(verifyConsistency(from, to, flipped(older, seed), newer, proof)).toBe(false)
        expect(verifyConsistency(from, to, older, flipped(newer, seed), proof)).toBe(false)
        for (const i of proof.keys()) expect(verifyConsistency(from, to, older, newer, replaced(proof, i, seed))).toBe(false)
        expect(verifyConsistency(from, to, older, newer, [...proof, newer])).toBe(false)
        if (from !== to) expect(verifyConsistency(to, from, newer, older, proof)).toBe(false)
      }),
    )
  })

  test('says nothing of the empty tree', () => {
    expect(() => consistencyNodes(0, 3)).toThrow(expect.objectContaining({ code: 'bad_input' }))
    expect(verifyConsistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])).toBe(false)
    expect(verifyConsistency(0, 1, EMPTY_ROOT, leafHash(Uint8Array.of(1)), [])).toBe(false)
  })
})

test('our own published vectors hold', () => {
  const all = ours.leaves.map((text) => leafHash(Buffer.from(text, 'utf8')))
  const { read } = stored(all)
  for (const { size, root } of ours.heads) expect(hex(treeHead(size, read))).toBe(root)
  for (const { index, size, proof } of ours.inclusion) expect(inclusionProof(index, size, read).map(hex)).toEqual(proof)
  for (const { from, to, proof } of ours.consistency) expect(consistencyProof(from, to, read).map(hex)).toEqual(proof)
})

interface OutsideCase {
  readonly name: string
  readonly wantErr: boolean
  readonly proof: readonly string[] | null
  readonly [field: string]: unknown
}

const file = join(process.env.REKEY_VECTORS ?? '/nowhere', 'merkle-rfc6962.json')
describe.skipIf(!existsSync(file))('the vectors of transparency-dev/merkle (REKEY_VECTORS)', () => {
  const read = (): { inclusion: OutsideCase[]; consistency: OutsideCase[] } =>
    existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as ReturnType<typeof read>) : { inclusion: [], consistency: [] }
  const { inclusion, consistency } = read()

  test('are there, good and bad', () => {
    expect(inclusion.some(({ wantErr }) => !wantErr) && consistency.some(({ wantErr }) => !wantErr)).toBe(true)
  })

  test.each(inclusion)('$name', (one) => {
    const proof = (one.proof ?? []).map(base64)
    const [index, size, leaf, root] = [Number(one.leafIdx), Number(one.treeSize), base64(String(one.leafHash)), base64(String(one.root))]
    expect(verifyInclusion(index, size, leaf, proof, root)).toBe(!one.wantErr)
  })

  test.each(consistency)('$name', (one) => {
    const proof = (one.proof ?? []).map(base64)
    const roots = [base64(String(one.root1)), base64(String(one.root2))] as const
    expect(verifyConsistency(Number(one.size1), Number(one.size2), ...roots, proof)).toBe(!one.wantErr)
  })
})

function only(allowed: readonly NodeAt[], read: NodeReader): NodeReader {
  const names = new Set(allowed.map(nodeKey))
  return (node) => {
    if (!names.has(nodeKey(node))) throw new Error(`read ${nodeKey(node)}, which was not named`)
    return read(node)
  }
}

function at(hashes: readonly Hash[], index: number): Hash {
  const hash = hashes[index]
  if (hash === undefined) throw new Error(`no hash ${index}`)
  return hash
}

function flipped(hash: Hash, seed: number): Hash {
  return Uint8Array.from(hash, (byte, i) => (i === seed % 32 ? byte ^ (1 << (seed % 8)) : byte))
}

function replaced(proof: readonly Hash[], index: number, seed: number): Hash[] {
  return proof.map((hash, i) => (i === index ? flipped(hash, seed) : hash))
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../kernel/index.ts'
import { headRecord, signHead } from './bundle.head.ts'
import type { BundleContent, BundleHead } from './bundle.model.ts'
import { BUNDLE_MIDDLE, encodeBundle, encodeRecord } from './bundle.ts'
import { verifyBundle } from './bundle.verify.ts'
import { isObject, LOGS, type LogName } from './event.ts'
import { fleetEvents, rotationEvents, sampleContent, signedContent, testSigner } from './evidence.kit.ts'
import { formatVerifierKey, newSigningSeed, signerFromSeed } from './note.ts'
import { renderReport } from './report.ts'

const key = formatVerifierKey(testSigner())
const events = [...fleetEvents(), ...rotationEvents(0), ...rotationEvents(1)]
const content = sampleContent(events, [1, 4, 11])
const text = encodeBundle(content)
const verify = (changed: string) => verifyBundle(Buffer.from(changed), key)
const verifyContent = (changed: BundleContent) => verify(encodeBundle(changed))

describe('what a bundle says of itself is signed', () => {
  const NONE = { checkpoints: [], events: [] }
  const without = (log: LogName) => ({ ...content, logs: { ...content.logs, [log]: NONE } })
  const withHead = (change: Partial<BundleHead>) => ({ ...content, head: { ...content.head, ...change } })

  test.each(LOGS)('so a bundle without its %s log is not sound, and the missing log is named', (log) => {
    const { ok, problems } = verifyContent(without(log))
    expect(ok).toBe(false)
    expect(problems).toEqual([
      { where: `${log} log`, what: expect.stringMatching(/^The log is missing: .* of a tree of \d+, and nothing/) },
    ])
  })

  test('nor is one that says so itself, since nobody signed that', () => {
    for (const log of LOGS) {
      const { logs } = resigned({ ...content.logs, [log]: NONE }).head
      const { ok, problems, bundle } = verifyContent({ ...without(log), head: { ...content.head, logs } })
      expect(ok).toBe(false)
      expect(problems).toEqual([{ where: 'first record', what: 'What the bundle says of itself was changed.' }])
      expect(bundle).toBeNull()
    }
  })

  test('nor one called chosen, whether its events are all there or not', () => {
    const credential = 'orders-api-1@orders-db'
    for (const logs of [content.logs, chosenOf(credential)]) {
      const relabelled = { ...content, logs, head: { ...content.head, filter: { credential, since: null } } }
      expect(verifyContent(relabelled).problems[0]).toEqual({ where: 'first record', what: 'What the bundle says of itself was changed.' })
      const told = { ...relabelled, head: { ...resigned(logs).head, filter: relabelled.head.filter } }
      expect(verifyContent(told).ok).toBe(false)
    }
  })

  test('nor one that holds nothing and says it is of a later time', () => {
    const logs = { credential: NONE, identity: NONE }
    const filter = { credential: null, since: '2027-01-01T00:00:00.000Z' }
    const forged = { ...resigned(logs, filter), note: content.note }
    expect(verifyContent(forged).problems.map(({ where }) => where)).toEqual(['first record', 'bundle'])
  })

  test('nor one with another count of pending events, or another date', () => {
    const logs = { ...content.head.logs, credential: { ...content.head.logs.credential, pending: 7 } }
    for (const head of [{ logs }, { exportedAt: '2026-12-24T00:00:00.000Z' }])
      expect(verifyContent(withHead(head)).problems).toEqual([
        { where: 'first record', what: 'What the bundle says of itself was changed.' },
      ])
  })

  test('nor one whose head is signed by nobody, by another key, by a checkpoint, or by the head of another bundle', () => {
    const forger = signerFromSeed(testSigner().name, newSigningSeed())
    const { logs } = content
    const notes = [
      '',
      content.note.slice(0, content.note.indexOf('\n\n') + 1),
      signHead(content.head, forger),
      content.note + (signHead(content.head, forger).split('\n\n')[1] ?? ''),
      logs.credential.checkpoints.at(-1)?.note ?? '',
      sampleContent(events, [1]).note,
    ]
    for (const note of notes) {
      const { ok, problems } = verifyContent({ ...content, note })
      expect(ok, note).toBe(false)
      expect(problems, note).toEqual([{ where: 'first record', what: expect.any(String) }])
    }
    const [first, ...rest] = logs.credential.checkpoints
    if (first === undefined) throw new Error('the sample has checkpoints')
    const headAsCheckpoint = withCredential({ checkpoints: [{ ...first, note: content.note }, ...rest] })
    expect(verifyContent(headAsCheckpoint).problems[0]?.where).toBe('credential checkpoint 1 of 4')
  })

  test('nor one of chosen events from which one was taken, or into which another was put', () => {
    const credential = 'orders-api-1@orders-db'
    const filter = { credential, since: null }
    const logs = chosenOf(credential)
    const chosen = resigned(logs, filter)
    expect(verifyContent(chosen).ok).toBe(true)
    const fewer = { ...logs, credential: { ...logs.credential, events: logs.credential.events.slice(1) } }
    expect(verifyContent({ ...chosen, logs: fewer }).problems).toEqual([
      { where: 'credential log', what: 'The bundle was made with 9 events of it, but 8 are there.' },
    ])
    const other = content.logs.credential.events[0]
    if (other === undefined) throw new Error('the sample has events')
    const swapped = { ...logs, credential: { ...logs.credential, events: [other, ...logs.credential.events.slice(1)] } }
    expect(verifyContent({ ...chosen, logs: swapped }).problems).toEqual([
      { where: 'credential event 0', what: 'It is none that was asked for.' },
    ])
    const since = content.logs.credential.events[20]?.event.at ?? ''
    const late = resigned({ ...content.logs, identity: { ...content.logs.identity, events: [] } }, { credential: null, since })
    expect(verifyContent(late).problems[0]).toEqual({ where: 'credential event 0', what: 'It is none that was asked for.' })
  })

  test('of an older tree the checkpoints may not be left out to look like it, nor those in between', () => {
    const checkpoints = content.logs.credential.checkpoints.slice(0, -1)
    const cut = sampleContent(events.filter(({ log }) => log === 'credential').slice(0, 11)).logs.credential.events
    const older = verifyContent(withCredential({ checkpoints, events: cut }))
    expect(older.problems.map(({ what }) => what)).toContain(
      'The bundle was made of the tree of 22, and its last checkpoint is not of that tree.',
    )
    const bridged = withCredential({ checkpoints: sampleContent(events, [1]).logs.credential.checkpoints })
    expect(verifyContent(bridged).problems).toEqual([
      { where: 'credential log', what: 'The bundle was made with 4 checkpoints of it, but 2 are there.' },
    ])
  })

  test('and one of the first format is refused with a word on what to do', () => {
    const { key, filter } = content.head
    const head = {
      record: 'bundle',
      format: 'rekey-evidence-bundle/1',
      key,
      filter: { ...filter },
      pending: { credential: 0, identity: 0 },
    }
    const { ok, problems, bundle } = verify(text.replace(/^\{.*"record":"bundle"\}/m, () => encodeRecord(head)))
    expect({ ok, bundle }).toEqual({ ok: false, bundle: null })
    expect(problems).toEqual([{ where: expect.stringMatching(/^line 8/), what: expect.stringContaining('export it again') }])
  })

  test('whatever member of it is changed or taken away, though the page was drawn again', () => {
    const record = JSON.parse(encodeRecord({ ...headRecord(content.head), note: content.note })) as Tree
    const paths = pathsOf(record)
    expect(paths).toHaveLength(21)
    const change = fc.oneof(
      fc.constant(undefined),
      fc.jsonValue() as fc.Arbitrary<Json>,
      fc.nat({ max: 30 }),
      fc.constantFrom('', null, 'orders-api-1@orders-db', '2026-01-01T00:00:00.000Z', 'rekey-evidence-bundle/1'),
    )
    fc.assert(
      fc.property(fc.constantFrom(...paths), change, (path, to) => {
        const changed = replaced(record, path, to)
        if (encodeRecord(changed) === encodeRecord(record)) return
        expect(verify(redrawn(changed)).ok, path.join('.')).toBe(false)
      }),
      { numRuns: 500 },
    )
  })
})

function withCredential(change: Partial<BundleContent['logs']['credential']>): BundleContent {
  return { ...content, logs: { ...content.logs, credential: { ...content.logs.credential, ...change } } }
}

/** What the same signer makes of other logs. */
function resigned(logs: BundleContent['logs'], filter = content.head.filter): BundleContent {
  return signedContent(logs, filter)
}

type Tree = { readonly [key: string]: Json }

/** Where every member of a record is, inner ones included. */
function pathsOf(tree: Tree): string[][] {
  return Object.entries(tree).flatMap(([key, value]) => [[key], ...(isObject(value) ? pathsOf(value).map((path) => [key, ...path]) : [])])
}

/** The record with another value there; without the member, for `undefined`. */
function replaced(tree: Tree, [key = '', ...path]: readonly string[], to: Json | undefined): Tree {
  const { [key]: old, ...rest } = tree
  if (path.length > 0) return { ...rest, [key]: replaced(old as Tree, path, to) }
  return to === undefined ? rest : { ...rest, [key]: to }
}

/** The bundle with another first record, and the page that belongs to it where there can be one. */
function redrawn(record: Tree): string {
  const { key, exportedAt, filter, logs, note } = record
  const changed = { ...content, head: { key, exportedAt, filter, logs }, note } as unknown as BundleContent
  const swapped = text.replace(/^\{.*"record":"bundle"\}/m, () => encodeRecord(record))
  try {
    return swapped.slice(0, swapped.indexOf(BUNDLE_MIDDLE) + BUNDLE_MIDDLE.length) + renderReport(changed)
  } catch {
    return swapped
  }
}

/** The logs with the events of one credential only, as an exporter chooses them. */
function chosenOf(credential: string): BundleContent['logs'] {
  const events = content.logs.credential.events.filter(({ event }) => event.subject === credential)
  return { credential: { ...content.logs.credential, events }, identity: { ...content.logs.identity, events: [] } }
}

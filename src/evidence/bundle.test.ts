import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../kernel/index.ts'
import type { BundleContent } from './bundle.model.ts'
import { BUNDLE_HEAD, BUNDLE_MIDDLE, encodeBundle } from './bundle.ts'
import { verifyBundle } from './bundle.verify.ts'
import { fleetEvents, rotationEvents, sampleContent, signedContent, testSigner } from './evidence.kit.ts'
import { formatVerifierKey } from './note.ts'

const key = formatVerifierKey(testSigner())
const events = [...fleetEvents(), ...rotationEvents(0), ...rotationEvents(1)]
const content = sampleContent(events, [1, 4, 11])
const text = encodeBundle(content)
const bytes = Buffer.from(text)
const verify = (changed: string | Uint8Array) => verifyBundle(Buffer.from(changed as string), key)
const verifyContent = (changed: BundleContent) => verify(encodeBundle(changed))

describe('a bundle', () => {
  test('verifies with nothing but its bytes and the key, and says what it holds', () => {
    expect(verify(text)).toEqual({
      ok: true,
      problems: [],
      logs: {
        credential: { size: 22, root: expect.stringMatching(/=$/), events: 22, complete: true, pending: 0 },
        identity: { size: 2, root: expect.stringMatching(/=$/), events: 2, complete: true, pending: 0 },
      },
      bundle: { exportedAt: '2026-11-21T10:20:32.123Z', filter: { credential: null, since: null } },
    })
  })

  test('is the same bytes for the same content', () => {
    expect(encodeBundle(sampleContent(events, [1, 4, 11]))).toBe(text)
  })

  test('carries its machine part as JSON that any reader takes, and no other script', () => {
    const machine = text.slice(BUNDLE_HEAD.length, text.indexOf(BUNDLE_MIDDLE))
    const records = JSON.parse(machine) as { record: string; event?: Json }[]
    expect(records.filter(({ record }) => record === 'event').map(({ event }) => event)).toEqual(
      [...content.logs.credential.events, ...content.logs.identity.events].map(({ event }) => event),
    )
    expect(text.match(/<script/g)).toHaveLength(1)
    expect(text.match(/<\/script/g)).toHaveLength(1)
  })

  test('of nothing, of one log only and of chosen events verifies, and says what is not there', () => {
    expect(verifyContent(sampleContent([])).problems).toEqual([{ where: 'bundle', what: expect.stringContaining('proves nothing') }])
    expect(verifyContent(sampleContent(rotationEvents(0))).ok).toBe(true)
    const credential = 'orders-api-1@orders-db'
    const chosen = content.logs.credential.events.filter(({ event }) => event.subject === credential)
    const logs = { ...withCredential({ events: chosen }).logs, identity: { ...content.logs.identity, events: [] } }
    const some = signedContent(logs, { credential, since: null })
    expect(verifyContent(some)).toMatchObject({ ok: true, logs: { credential: { size: 22, events: 9, complete: false } } })
  })

  test('published with this format still verifies, and is still drawn to the byte', () => {
    const published = readFileSync(new URL('../../test/vectors/evidence-bundle.html', import.meta.url))
    expect(verify(published).problems).toEqual([])
    expect(encodeBundle(sampleContent([...fleetEvents(), ...rotationEvents(0)], [5]))).toBe(published.toString())
  })

  test('is not believed under another key', () => {
    const other = formatVerifierKey(testSigner('other.example'))
    const verdict = verifyBundle(bytes, other)
    expect(verdict.ok).toBe(false)
    expect(verdict.logs.credential).toMatchObject({ size: 0, events: 0, complete: false })
    expect(() => verifyBundle(bytes, 'no key')).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })
})

describe('damage is found and located', () => {
  test('for every flipped byte of a small bundle', () => {
    const small = Buffer.from(encodeBundle(sampleContent(rotationEvents(0).slice(0, 1))))
    expect(verify(small).ok).toBe(true)
    for (let at = 0; at < small.length; at++) expectLocated(small, at, 1 << (at % 8))
  })

  test('for any flipped bits anywhere in a larger one', () => {
    const anywhere = fc.integer({ min: 0, max: bytes.length - 1 })
    fc.assert(
      fc.property(anywhere, fc.integer({ min: 1, max: 255 }), (at, mask) => expectLocated(bytes, at, mask)),
      { numRuns: 500 },
    )
  })

  test('for any cut and any insertion', () => {
    const anywhere = fc.integer({ min: 0, max: bytes.length })
    fc.assert(
      fc.property(anywhere, fc.uint8Array({ minLength: 1, maxLength: 5 }), (at, more) => {
        if (at < bytes.length) expect(verify(bytes.subarray(0, at)).ok).toBe(false)
        const longer = Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)])
        expect(verify(longer).ok).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  test('for every field of every event, though page and records were made to agree again', () => {
    for (const { index, event } of content.logs.credential.events) {
      const changes: [string, object][] = [
        ['type', { type: `${event.type}x` }],
        ['at', { at: '2026-11-21T09:20:32.000Z' }],
        ['actor', { actor: `${event.actor}x` }],
        ['subject', { subject: `${event.subject}x` }],
        ['links', { links: { ...event.links, more: 'x' } }],
        ['data', { data: { ...event.data, more: 1 } }],
      ]
      for (const [field, change] of changes) {
        const changed = withCredential({
          events: content.logs.credential.events.map((one) => (one.index === index ? { ...one, event: { ...event, ...change } } : one)),
        })
        const { ok, problems } = verifyContent(changed)
        expect(ok, `${index} ${field}`).toBe(false)
        expect(problems, `${index} ${field}`).toEqual([{ where: `credential event ${index}`, what: expect.stringContaining('not proven') }])
      }
    }
  })

  test('for two events that changed places, one given twice, and one moved to the other log', () => {
    const [first, second, ...rest] = content.logs.credential.events
    if (first === undefined || second === undefined) throw new Error('the sample has events')
    const swapped = [{ ...first, event: second.event }, { ...second, event: first.event }, ...rest]
    expect(verifyContent(withCredential({ events: swapped })).problems.map(({ where }) => where)).toEqual([
      'credential event 0',
      'credential event 1',
    ])
    expect(verifyContent(withCredential({ events: [first, first, second] })).problems).toEqual([
      expect.objectContaining({ what: 'The record is out of order.' }),
    ])
    const moved = { ...content, logs: { ...content.logs, identity: { ...content.logs.identity, events: [first] } } }
    expect(verifyContent(moved).problems[0]).toEqual({ where: 'identity event 0', what: 'The event says that it is of the other log.' })
  })

  test('for a checkpoint left out, doubled, of the other log, or of another history', () => {
    const { checkpoints } = content.logs.credential
    const without = withCredential({ checkpoints: checkpoints.filter((_, i) => i !== 1) })
    expect(verifyContent(without).problems[0]?.where).toBe('credential checkpoint 2 of 3')
    const again = checkpoints.slice(-1).map(({ note }) => ({ note, proof: [] }))
    const doubled = withCredential({ checkpoints: [...checkpoints, ...again] })
    expect(verifyContent(doubled).problems[0]?.where).toBe('credential checkpoint 5 of 5')
    const foreign = withCredential({ checkpoints: content.logs.identity.checkpoints })
    expect(verifyContent(foreign).problems[0]).toMatchObject({
      where: 'credential checkpoint 1 of 2',
      what: expect.stringContaining('another log'),
    })
    const fork = sampleContent([...rotationEvents(5), ...events]).logs.credential.checkpoints
    const forked = verifyContent(withCredential({ checkpoints: [...checkpoints.slice(0, 2), ...fork] }))
    expect(forked.problems[0]).toMatchObject({ where: 'credential checkpoint 3 of 3', what: expect.stringContaining('grown') })
  })

  test('and no log of a damaged bundle is called complete', () => {
    expect(verify('nonsense').logs).toMatchObject({ credential: { complete: false }, identity: { complete: false } })
    const without = text.split('\n').filter((line) => !line.startsWith('{"event"'))
    const damaged = verify(without.join('\n').replace('"record":"checkpoint"', '"record":"checkpaint"'))
    expect(damaged).toMatchObject({ ok: false, logs: { credential: { complete: false }, identity: { complete: false } } })
  })

  test('for events without a checkpoint', () => {
    const bare = withCredential({ checkpoints: [] })
    expect(verifyContent(bare).problems).toEqual([
      { where: 'credential log', what: expect.stringContaining('no checkpoint') },
      { where: 'credential log', what: 'The bundle was made with 4 checkpoints of it, but 0 are there.' },
    ])
  })

  test('for a page that says something else, at its byte', () => {
    const at = text.lastIndexOf('proven dead')
    const verdict = verify(text.replace(/proven dead(?![\s\S]*proven dead)/, 'still alive'))
    expect(verdict.problems).toEqual([{ where: `byte ${Buffer.byteLength(text.slice(0, at))}`, what: expect.stringContaining('page') }])
  })
})

describe('hostile bytes', () => {
  test('are refused without an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (noise) => {
        expect(verify(noise).ok).toBe(false)
        expect(verify(Buffer.concat([Buffer.from(`${BUNDLE_HEAD}[\n`), noise])).ok).toBe(false)
      }),
    )
  })

  test('in place of any record are refused without an exception', () => {
    const record = fc.oneof(
      fc.jsonValue(),
      fc.record({ record: fc.constantFrom('bundle', 'checkpoint', 'event'), log: fc.constantFrom('identity', 'x'), note: fc.jsonValue() }),
      fc.record({
        record: fc.constant('event'),
        log: fc.constant('identity'),
        index: fc.jsonValue(),
        event: fc.jsonValue(),
        proof: fc.jsonValue(),
      }),
    )
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
        const lines = records.map((one) => JSON.stringify(one)).join(',\n')
        expect(verify(`${BUNDLE_HEAD}[\n${lines}\n]${BUNDLE_MIDDLE}`).ok).toBe(false)
      }),
    )
  })

  test.each([
    ['a prototype', '{"__proto__":{"ok":true},"record":"bundle"}'],
    ['a constructor', '{"constructor":{"prototype":{"ok":true}},"record":"bundle"}'],
    ['depth', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
  ])('with %s in a record change nothing of ours', (_, line) => {
    expect(verify(`${BUNDLE_HEAD}[\n${line}\n]${BUNDLE_MIDDLE}`).ok).toBe(false)
    expect(({} as { ok?: boolean }).ok).toBeUndefined()
  })

  test('that are not UTF-8, or begin with a byte order mark, are located', () => {
    const broken = Buffer.from(bytes)
    broken[1000] = 0xff
    expect(verify(broken).problems).toEqual([{ where: 'byte 1000', what: 'The file is not UTF-8 text.' }])
    expect(verify(`\ufeff${text}`).problems[0]?.where).toBe('byte 0')
  })
})

/** One damaged byte: found, and placed in the record or at the byte of the page that holds it. */
function expectLocated(sound: Buffer, at: number, mask: number): void {
  const damaged = Buffer.from(sound)
  damaged[at] = (damaged[at] ?? 0) ^ mask
  const { ok, problems } = verify(damaged)
  expect(ok, `byte ${at}`).toBe(false)
  const where = problems[0]?.where ?? ''
  const byte = /byte (\d+)$/.exec(where)?.[1]
  const start = at === 0 ? 0 : sound.lastIndexOf('\n', at - 1) + 1
  const line = sound.subarray(start, sound.indexOf('\n', at)).toString()
  if (byte === undefined) {
    expect(where, `byte ${at}`).toMatch(nameOf(line))
  } else if (where.startsWith('line')) {
    expect([start, start + line.length + 1], `byte ${at}`).toContain(Number(byte))
  } else {
    expect(Math.abs(Number(byte) - at), `byte ${at}: ${where}`).toBeLessThanOrEqual(3)
  }
}

/** How the record on this line is named in a finding; its index may be the very thing that was damaged. */
function nameOf(line: string): RegExp {
  const { record, log } = JSON.parse(line.replace(/,$/, '')) as { record: string; log?: string }
  return record === 'bundle' ? /^first record$/ : new RegExp(`^${log} ${record} \\d+`)
}

function withCredential(change: Partial<BundleContent['logs']['credential']>): BundleContent {
  return { ...content, logs: { ...content.logs, credential: { ...content.logs.credential, ...change } } }
}

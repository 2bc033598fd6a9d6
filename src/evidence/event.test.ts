import { describe, expect, test } from 'vitest'
import { type Json, makeCtx, Secret } from '../kernel/index.ts'
import { parseCanonicalJson } from './canonical.ts'
import { EVENT_MAX_BYTES, type EvidenceEvent, eventLeafHash, faultOfEvent, sealEvent } from './event.ts'

const at = new Date('2026-01-02T03:04:05.678Z')
const ctx = makeCtx('worker:1', 'r1', { clock: { now: () => at, monotonicMs: () => 0 } })
const event: EvidenceEvent = {
  log: 'credential',
  type: 'rotation.proven_dead',
  subject: 'orders-api@orders-db',
  links: { rotation: 'r', credential: 'c' },
  data: { gapMs: 12, old: { outcome: 'refused' } },
}

describe('an evidence event', () => {
  test('becomes canonical JSON with its time in UTC milliseconds, the actor of the context, and every member', () => {
    const { body, text } = sealEvent(ctx, event)
    expect(text).toBe(
      '{"actor":"worker:1","at":"2026-01-02T03:04:05.678Z","data":{"gapMs":12,"old":{"outcome":"refused"}},' +
        '"links":{"credential":"c","rotation":"r"},"log":"credential",' +
        '"subject":"orders-api@orders-db","type":"rotation.proven_dead","v":1}',
    )
    expect(parseCanonicalJson(text)).toEqual(body)
    expect(Buffer.from(eventLeafHash(text)).toString('hex')).toMatch(/^[0-9a-f]{64}$/)
  })

  test('may name another actor than the context', () => {
    expect(sealEvent(ctx, { ...event, actor: 'admin:1' }).body.actor).toBe('admin:1')
  })

  test.each([
    ['a type without a dot', { type: 'rotation' }],
    ['a type in upper case', { type: 'Rotation.staged' }],
    ['an unknown log', { log: 'system' as 'identity' }],
    ['no subject', { subject: '' }],
    ['a control character in the subject', { subject: 'a\u0000b' }],
    ['an actor with a newline', { actor: 'a\nb' }],
    ['a link that is no text', { links: { credential: 1 as unknown as string } }],
    ['data that is a list', { data: [] as unknown as Record<string, Json> }],
    ['a number that is not finite', { data: { gapMs: Number.NaN } }],
    ['data past 64 KiB', { data: { text: 'x'.repeat(EVENT_MAX_BYTES) } }],
  ])('is refused with %s', (_, change) => {
    expect(() => sealEvent(ctx, { ...event, ...change })).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })

  test('is refused with a secret anywhere in it, and the secret is not told', () => {
    const secret = Secret.fromText('do-not-print-me') as unknown as Json
    for (const data of [{ secret }, { deep: [{ er: secret }] }, secret as unknown as { [key: string]: Json }]) {
      const refusal = expect.objectContaining({ code: 'internal', message: expect.not.stringContaining('do-not-print') })
      expect(() => sealEvent(ctx, { ...event, data })).toThrow(refusal)
    }
    expect(() => sealEvent(ctx, { ...event, links: { x: secret as unknown as string } })).toThrow(
      expect.objectContaining({ code: 'internal' }),
    )
  })

  test.each<[string, Json]>([
    ['null', null],
    ['a list', []],
    ['a member too many', { ...sealEvent(ctx, event).body, more: 1 }],
    ['another version', { ...sealEvent(ctx, event).body, v: 2 }],
    ['a time of another form', { ...sealEvent(ctx, event).body, at: '2026-01-02T03:04:05Z' }],
  ])('read from outside as %s has a fault', (_, value) => {
    expect(faultOfEvent(value)).toMatch(/^(it|its|there) /)
  })

  test('made by us has no fault', () => {
    expect(faultOfEvent({ ...sealEvent(ctx, event).body })).toBeNull()
  })
})

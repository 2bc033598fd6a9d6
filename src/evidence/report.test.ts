import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../kernel/index.ts'
import type { EvidenceEvent } from './event.ts'
import { fleetEvents, rotationEvents, sampleContent } from './evidence.kit.ts'
import { escapeHtml } from './report.html.ts'
import { tellStory } from './report.story.ts'
import { renderReport } from './report.ts'

const render = (events: readonly EvidenceEvent[]) => renderReport(sampleContent(events))
const textOf = (page: string) =>
  page
    .replace(/<style>.*<\/style>/s, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
const ended = (type: string, data: { [key: string]: Json }) => {
  const [first, ...rest] = rotationEvents(2).slice(0, 5)
  if (first === undefined) throw new Error('the sample has events')
  return [first, ...rest, { ...first, type, data }]
}

describe('the report', () => {
  test('says of a rotation what changed, when, by whom, how the new was verified and the old proven dead', () => {
    const text = textOf(render([...fleetEvents(), ...rotationEvents(0)]))
    for (const part of [
      'orders-api-0@orders-db proven dead',
      'System orders-db',
      'Change in-place, leak of ci-store',
      'Ordered by admin:ops',
      'New value accepted (00000), 2026-11-21',
      'Old value refused (28P01), 2026-11-21 09:20:32.374 UTC',
      'Control new value accepted (00000), 2026-11-21 09:20:32.377 UTC',
      'Sessions of the old 0 left',
      'Revoked 2026-11-21 09:20:32.333 UTC',
      'Effectively dead 2026-11-21 09:20:32.374 UTC',
      'Proven dead 2026-11-21 09:20:32.377 UTC',
      'Gap 13 ms',
      'Versions v-0-1 → v-0-2',
      'OWASP NHI7:2025',
      'NIST CSF 2.0 PR.AA-01',
    ]) {
      expect(text).toContain(part)
    }
  })

  test.each([
    ['rotation.blocked', 'blocked', { reason: 'no answer' }],
    ['rotation.not_provable', 'not provable', { reason: 'value unknown' }],
    ['rotation.undone', 'undone', {}],
    ['rotation.irrevocable', 'irrevocable', {}],
    ['rotation.activated', 'running', {}],
  ])('never shows a rotation that ended with %s as proven dead', (type, shown, data) => {
    const [rotation] = tellStory(sampleContent(ended(type, data))).credentials.flatMap(({ rotations }) => rotations)
    expect(rotation).toMatchObject({ ending: shown, trouble: 'reason' in data ? data.reason : '', gapMs: null })
    expect(textOf(render(ended(type, data)))).toMatch(/old values proven dead 0 /)
  })

  test('shows a rotation that went on after a block as what it is now', () => {
    const [blocked] = ended('rotation.blocked', {}).slice(-1)
    if (blocked === undefined) throw new Error('the sample has events')
    const [rotation] = tellStory(
      sampleContent([...rotationEvents(2).slice(0, 3), blocked, ...rotationEvents(2).slice(3)]),
    ).credentials.flatMap(({ rotations }) => rotations)
    expect(rotation?.ending).toBe('proven dead')
  })

  test('tells every event in exactly one place', () => {
    const content = sampleContent([...fleetEvents(), ...rotationEvents(0), ...rotationEvents(1)])
    const { credentials, others } = tellStory(content)
    const told = [...credentials.flatMap((one) => [...one.rotations.flatMap(({ steps }) => steps), ...one.others]), ...others]
    const names = told.map(({ log, index }) => `${log} ${index}`).sort()
    const all = (['credential', 'identity'] as const).flatMap((log) => content.logs[log].events.map(({ index }) => `${log} ${index}`))
    expect(names).toEqual(all.sort())
  })

  test('shows unknown types plainly, and hostile names as text', () => {
    const page = render(fleetEvents())
    expect(page).toContain('weather.changed')
    expect(page).toContain('&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]')
    expect(page).not.toMatch(/<script|<!--|\u202e/)
  })

  test('loads nothing from elsewhere and runs nothing', () => {
    const page = render([...fleetEvents(), ...rotationEvents(0)])
    expect(page).not.toMatch(/<(script|link|img|iframe|object|form)|https?:|url\(|@import|\son\w+=/i)
  })

  test('is drawn whatever the data of an event holds', () => {
    const types = rotationEvents(0).map(({ type }) => type)
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (type, data) => {
        const events = rotationEvents(0).map((event) => (event.type === type ? { ...event, data: data as { [key: string]: Json } } : event))
        expect(render(events)).toMatch(/<\/html>\n$/)
      }),
    )
  })
})

test('escaped text cannot open a tag, close an attribute or hide a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const escaped = escapeHtml(text)
      expect(escaped).not.toMatch(/[<>"'\p{Cc}\p{Cf}]/u)
      expect(escaped.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&')
    }),
  )
})

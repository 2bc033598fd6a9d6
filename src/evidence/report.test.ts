import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../kernel/index.ts'
import type { EvidenceEvent } from './event.ts'
import { closureEvents, fleetEvents, rotationEvents, sampleContent } from './evidence.kit.ts'
import { escapeHtml } from './report.html.ts'
import { tellStory } from './report.story.ts'
import { renderReport } from './report.ts'
import { ENDINGS, type Ending } from './report.words.ts'

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
      'Reason leak of ci-store',
      'Strategy in-place',
      'Ordered by admin:ops',
      'New value accepted (00000), 2026-11-21 09:20:32.316 UTC',
      'Old value refused (28P01), 2026-11-21 09:20:32.374 UTC',
      'Control new value accepted (00000), 2026-11-21 09:20:32.377 UTC',
      'Sessions of the old 2 ended, 0 left',
      'Revoked 2026-11-21 09:20:32.333 UTC',
      'Effectively dead 2026-11-21 09:20:32.374 UTC',
      'Proven dead 2026-11-21 09:20:32.377 UTC',
      'Gap 13 ms',
      'Versions v1 → v2',
      'OWASP NHI7:2025',
      'NIST CSF 2.0 PR.AA-01',
    ]) {
      expect(text).toContain(part)
    }
  })

  test('says who ordered a rotation by the name in the event, with the id beside it', () => {
    const [planned, ...rest] = rotationEvents(0)
    if (planned === undefined) throw new Error('the sample has events')
    const by = 'nightly (token:01a200d3-0000-7000-8000-000000000001)'
    const named = { ...planned, actor: 'token:01a200d3-0000-7000-8000-000000000001', data: { ...planned.data, by } }
    expect(textOf(render([named, ...rest]))).toContain(`Ordered by ${by}`)
  })

  test.each<[string, Ending, { [key: string]: Json }]>([
    ['rotation.blocked', 'blocked', { reason: 'no answer' }],
    ['rotation.not_provable', 'not provable', { reason: 'value unknown' }],
    ['rotation.undone', 'undone', {}],
    ['rotation.irrevocable', 'irrevocable', {}],
    ['rotation.activated', 'under way', {}],
    ['override.recorded', 'irrevocable', { kind: 'irrevocable', by: 'ada', reason: 'no answer' }],
    ['override.recorded', 'under way', { kind: 'override-activation', by: 'ada', reason: 'seen by hand' }],
  ])('never shows a rotation that ended with %s as proven dead', (type, shown, data) => {
    const [rotation] = tellStory(sampleContent(ended(type, data))).credentials.flatMap(({ rotations }) => rotations)
    expect(rotation).toMatchObject({ ending: shown, trouble: 'reason' in data && shown !== 'under way' ? data.reason : '' })
    expect(textOf(render(ended(type, data)))).toMatch(/old values proven dead 0 /)
    expect(textOf(render(ended(type, data)))).toContain(`${ENDINGS[shown].figure} 1 `)
  })

  test('still shows as proven dead what was looked at once more after its end', () => {
    const [planned] = rotationEvents(2)
    if (planned === undefined) throw new Error('the sample has events')
    const story = tellStory(sampleContent([...rotationEvents(2), { ...planned, type: 'rotation.rechecked', data: { sessionsEnded: 0 } }]))
    expect(story.credentials[0]?.rotations[0]?.ending).toBe('proven dead')
  })

  test('counts what was undone, what cannot be proven and what waits for a human apart, each in words', () => {
    const endings = ['rotation.undone', 'rotation.undone', 'rotation.not_provable', 'rotation.blocked'].flatMap((type, n) => {
      const [planned] = rotationEvents(n)
      if (planned === undefined) throw new Error('the sample has events')
      return [planned, { ...planned, type, data: { reason: 'because', hint: 'Look there.' } }]
    })
    const text = textOf(render(endings))
    expect(text).toContain(
      'old values proven dead 0 replaced, death not provable 1 blocked, wait for a human 1 undone, old value in use 2 longest gap – ',
    )
    for (const ending of ['not provable', 'blocked', 'undone'] as const) expect(text).toContain(`${ending} ${ENDINGS[ending].meaning}`)
    expect(text).not.toContain(ENDINGS.irrevocable.meaning)
    expect(text).toContain('Blocked because because Look there.')
  })

  test('shows no gap where no file of a consumer was written, and says what the sign means', () => {
    const withConsumers = (consumers: string[], gapMs: number | null) =>
      rotationEvents(2).map((event) => (event.type === 'rotation.distributed' ? { ...event, data: { consumers, gapMs } } : event))
    const gapOf = (events: EvidenceEvent[]) => tellStory(sampleContent(events)).credentials[0]?.rotations[0]?.gapMs
    expect(gapOf(withConsumers(['a'], 40))).toBe(40)
    expect(gapOf(withConsumers([], 40))).toBeNull()
    expect(gapOf(withConsumers([], 0))).toBe(0)
    expect(textOf(render(withConsumers([], 40)))).toContain('longest gap – ')
    expect(textOf(render(withConsumers(['a'], 0)))).toContain('Gap none')
    expect(textOf(render(withConsumers([], 40)))).toContain('“–”: not measured')
  })

  test('tells of a consumer’s report inside the rotation it belongs to', () => {
    const [planned] = rotationEvents(2)
    if (planned === undefined) throw new Error('the sample has events')
    const { credentials, others } = tellStory(sampleContent([planned, { ...planned, type: 'consumer.reported', data: { consumer: 'a' } }]))
    expect(others).toEqual([])
    expect(credentials[0]?.rotations[0]?.steps).toHaveLength(2)
  })

  test('tells details in words, with units, and probes in one piece', () => {
    const [planned] = rotationEvents(2)
    if (planned === undefined) throw new Error('the sample has events')
    const probe = { outcome: 'accepted', code: 'ok', at: '2026-11-21T09:20:32.123Z' }
    const data = {
      'rotate.everySeconds': 60,
      gapMs: null,
      how: [{ by: 'report' }],
      probe,
      other: { ...probe, more: 1 },
      two: [{ a: 1 }, { a: 2 }],
    }
    const text = textOf(render([{ ...planned, type: 'version.tried', data }]))
    expect(text).toContain(
      'gap: – · how by: report · other at: 2026-11-21 09:20:32.123 UTC · other code: ok · other more: 1 · other outcome: accepted · ' +
        'probe: accepted (ok), 2026-11-21 09:20:32.123 UTC · rotate every: 60 s · two 1 a: 1 · two 2 a: 2',
    )
  })

  test('shows a rotation that went on after a block as what it is now', () => {
    const [blocked] = ended('rotation.blocked', {}).slice(-1)
    if (blocked === undefined) throw new Error('the sample has events')
    const [rotation] = tellStory(
      sampleContent([...rotationEvents(2).slice(0, 3), blocked, ...rotationEvents(2).slice(3)]),
    ).credentials.flatMap(({ rotations }) => rotations)
    expect(rotation?.ending).toBe('proven dead')
  })

  test('says of who left: by whom, why, when, and of each credential how its death was proven or who has it', () => {
    const page = render([...fleetEvents(), ...rotationEvents(0), ...closureEvents()])
    const text = textOf(page)
    for (const part of [
      'identities suspended or left 1',
      'ada waiting',
      'Suspended by admin:ops, 2026-11-21 09:20:32.234 UTC: notice given',
      'Offboarded by admin:ops, 2026-11-21 09:20:32.271 UTC: last day',
      'Goal destroy: last day',
      'Stopped at once 1 api tokens, 2 sessions',
      'ada-own proven dead orders-db v1 refused (28P01); root accepted (00000) at the same moment; by the system ada_own: shut; ' +
        '2 sessions ended, 0 left 2026-11-21 09:20:33.000 ',
      'orders-api-0@orders-db rotated orders-db Used by nightly-report too. See its rotation .',
      'vendor-key handed over orders-db grace (person) has it. The account is also that of billing. End it by hand.',
      '1 old value proven dead; 2 credentials of leavers ended with a proof',
    ])
      expect(text).toContain(part)
    expect(page).toContain('<a href="#r-0199f3a2-0000-7000-8000-000000000000">its rotation</a>')
    expect(textOf(render(rotationEvents(0)))).not.toContain('suspended')
  })

  test('draws closures whatever their events hold, and never calls proven what no event proves', () => {
    const types = closureEvents().map(({ type }) => type)
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (type, data) => {
        const events = closureEvents().map((event) => (event.type === type ? { ...event, data: data as { [key: string]: Json } } : event))
        expect(render(events)).toMatch(/<\/html>\n$/)
      }),
    )
    const unproven = closureEvents().filter(({ type }) => type !== 'logins.proven_dead')
    const own = tellStory(sampleContent(unproven)).closures[0]?.credentials.find(({ name }) => name === 'ada-own')
    expect(own?.state).toBe('destroyed')
    expect(textOf(render(unproven)).replace(/proven dead The value.*no session was left\./, '')).not.toContain('ada-own proven dead')
  })

  test('tells every event in exactly one place', () => {
    const content = sampleContent([...fleetEvents(), ...rotationEvents(0), ...rotationEvents(1), ...closureEvents()])
    const { credentials, closures, others } = tellStory(content)
    expect(closures).toHaveLength(1)
    const told = [
      ...closures.flatMap(({ steps }) => steps),
      ...credentials.flatMap((one) => [...one.rotations.flatMap(({ steps }) => steps), ...one.others]),
      ...others,
    ]
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

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Json, Secret } from '../kernel/index.ts'
import { canonicalJson, firstDifference, parseCanonicalJson } from './canonical.ts'

const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>
const sloppy = (value: unknown): Json => value as Json

describe('canonical JSON (RFC 8785)', () => {
  test('writes the example of RFC 8785 section 3.2.4', () => {
    const input = sloppy(
      JSON.parse(
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
          '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
      ),
    )
    expect(canonicalJson(input)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    )
  })

  test('sorts keys by UTF-16 code units, as the example of section 3.2.3', () => {
    const input = { '€': 'Euro', '\r': 'CR', '\ufb33': 'Hebrew', '1': 'One', '😀': 'Smile', '\u0080': 'Control', ö: 'Latin' }
    const keys = Object.keys(JSON.parse(canonicalJson(input)) as object)
    expect(keys).toEqual(['1', '\r', '\u0080', 'ö', '€', '😀', '\ufb33'])
  })

  test('equal values give equal text whatever the order of their keys, and parse back', () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(reversed(value))).toBe(text)
        expect(canonicalJson(parseCanonicalJson(text))).toBe(text)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  test('writes minus zero as 0 and keeps __proto__ an ordinary key', () => {
    expect(canonicalJson([-0])).toBe('[0]')
    expect(canonicalJson(parseCanonicalJson('{"__proto__":{"x":1}}'))).toBe('{"__proto__":{"x":1}}')
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  test.each([
    ['NaN', Number.NaN],
    ['infinity', [Number.POSITIVE_INFINITY]],
    ['a lone surrogate', 'a\ud800b'],
    ['a lone surrogate in a key', { '\udc00': 1 }],
    ['undefined', { a: undefined }],
    ['a hole in a list', new Array(2)],
    ['a function', [() => 1]],
    ['a bigint', 1n],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', Uint8Array.of(1)],
  ])('refuses %s', (_, value) => {
    expect(() => canonicalJson(sloppy(value))).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })

  test('refuses a secret at any depth as our own fault, and does not print it', () => {
    const value = sloppy({ a: [{ b: Secret.fromText('hunter2-hunter2') }] })
    expect(() => canonicalJson(value)).toThrow(
      expect.objectContaining({ code: 'internal', message: expect.not.stringContaining('hunter2') }),
    )
  })

  test('refuses nesting that would exhaust the stack', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expect(() => parseCanonicalJson(deep)).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })

  test.each([
    ' 1',
    '1 ',
    '1.0',
    '1e0',
    '-0',
    '{"b":1,"a":2}',
    '{"a":1,"a":1}',
    '"\\u0041"',
    '"\\/"',
    '[1, 2]',
    '',
    '{',
    '\ufeff1',
    '"\ud800"',
  ])('refuses to parse %j, which is not canonical', (text) => {
    expect(() => parseCanonicalJson(text)).toThrow(expect.objectContaining({ code: 'bad_input' }))
  })
})

test('the first difference is where two texts part, or the end of the shorter', () => {
  expect(firstDifference('abc', 'abd')).toBe(2)
  expect(firstDifference('abc', 'ab')).toBe(2)
  expect(firstDifference(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(2)
})

function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  )
}

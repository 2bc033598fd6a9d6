import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RekeyError } from '../kernel/index.ts'
import { GOOD, OPTIONS } from './fleet.kit.ts'
import { type Fleet, formatDuration, mapPaths, parseDuration } from './fleet.model.ts'
import { parseFleet } from './fleet.parse.ts'

/** Parses; anything thrown must be the one error with faults that lie inside the text. Null if it was refused. */
function parseOrRefuse(text: string): Fleet | null {
  try {
    return parseFleet(text, OPTIONS)
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    expect(error.code).toBe('fleet_invalid')
    const lines = text.split(/\r\n|\r|\n/).length
    expect(error.faults?.length).toBeGreaterThan(0)
    for (const { line } of error.faults ?? []) {
      expect(line).toBeGreaterThanOrEqual(1)
      expect(line).toBeLessThanOrEqual(lines)
    }
    return null
  }
}

const yamlish = fc.constantFrom(
  '\n',
  '\n  ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '&a ',
  '*a',
  '!t ',
  '<<: ',
  '? ',
  '| ',
  '> ',
  '"',
  "'",
  '#',
  '---\n',
  '%',
  '\t',
  '\r\n',
  '0',
  '~',
  '=',
  '\\',
  ',',
)
const word = fc.oneof(yamlish, fc.constantFrom(...new Set(GOOD.match(/[\w-]+/g) ?? [])), fc.string({ unit: 'binary', maxLength: 8 }))

test('arbitrary text is refused or read, never more', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => void parseOrRefuse(text)),
    { numRuns: 300 },
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 80 }), (words) => void parseOrRefuse(words.join(''))),
    { numRuns: 1500 },
  )
})

test('a good file with pieces cut, doubled or replaced is refused or read, never more', () => {
  const place = fc.nat({ max: GOOD.length })
  const edit = fc.record({ from: place, length: fc.nat({ max: 12 }), put: fc.oneof(word, fc.constant('')) })
  let read = 0
  const property = fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
    const text = edits.reduce((rest, { from, length, put }) => rest.slice(0, from) + put + rest.slice(from + length), GOOD)
    if (parseOrRefuse(text)) read += 1
  })
  fc.assert(property, { numRuns: 1500 })
  expect(read).toBeGreaterThan(0)
})

/** Shapes that made YAML parsers slow or killed them. Each is long enough that quadratic work would take far longer than the bound. */
test.each([
  ['open brackets', '['.repeat(200_000)],
  ['open braces', '{a: '.repeat(50_000)],
  ['nested dashes', '- '.repeat(100_000)],
  ['many keys', Array.from({ length: 50_000 }, (_, i) => `k${i}: 1`).join('\n')],
  ['one key many times', 'version: 1\n'.repeat(30_000)],
  ['many documents', '---\n'.repeat(50_000)],
  ['many aliases', `a: &a [1]\nb: [${'*a,'.repeat(50_000)}]`],
  ['many syntax faults', 'a: ]\n'.repeat(30_000)],
  [
    'many identities of nearly one name',
    `version: 1\nidentities:\n${'  - { name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }\n'.repeat(10_000)}`,
  ],
  [
    'many unknown identities',
    `version: 1\ncredentials:\n${Array.from({ length: 10_000 }, (_, i) => `  - { name: c${i}, identity: i${i} }\n`).join('')}`,
  ],
])(
  'time stays bounded: %s',
  (_what, text) => {
    expect(parseOrRefuse(text)).toBeNull()
  },
  10_000,
)

test('a duration comes back as the same seconds', () => {
  fc.assert(fc.property(fc.nat({ max: 999_999_999 }), (seconds) => parseDuration(formatDuration(seconds)) === seconds))
  expect(['30s', '10m', '12h', '30d', '2w'].map(parseDuration)).toEqual([30, 600, 43_200, 2_592_000, 1_209_600])
  expect(['', '30', '-1s', '1.5h', '1 d', '1d12h', '1y', '9999999999s'].map(parseDuration)).toEqual(Array(8).fill(null))
})

test('every path of a fleet is mapped and nothing else', () => {
  const fleet = parseFleet(GOOD, OPTIONS)
  expect(mapPaths(fleet, (path) => path)).toEqual(fleet)
  const seen: string[] = []
  const mapped = mapPaths(fleet, (path) => {
    seen.push(path)
    return `/base/${path}`
  })
  expect(seen.sort()).toEqual(['./ca.pem', './job.secret', './orders.env', './orders.env', './orders.secret', './root.secret'])
  expect(mapped.systems[1]?.address.caFile).toBe('/base/./ca.pem')
  expect(mapped.systems[1]?.root.secret).toEqual({ env: 'CACHE_ROOT' })
  expect(mapped.credentials[0]?.current).toEqual({ file: '/base/./orders.secret' })
})

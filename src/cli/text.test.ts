import fc from 'fast-check'
import { expect, test } from 'vitest'
import { INVISIBLE, printable } from '../kernel/index.ts'
import { shortTime, span } from './text.ts'

test('nothing that moves a cursor, hides text or turns its direction is left', () => {
  const hostile = fc.constantFrom('\u001b[2J', '\u202e', '\u0000', '\ud800', '\u2028', '\u200b', '\n', '😀', 'é')
  fc.assert(
    fc.property(fc.array(fc.oneof(hostile, fc.string({ unit: 'binary' }))), (parts) => {
      expect(INVISIBLE.test(printable(parts.join('')))).toBe(false)
    }),
  )
})

test('what people write in their languages stays as it is', () => {
  for (const text of ['Zoë', 'Ж', '漢字', '🔑', 'a b', 'naïve-name_1@db']) expect(printable(text)).toBe(text)
})

test('a name cannot steer the terminal', () => {
  expect(printable('a\u001b[31mb\u202e')).toBe('a\\u{1b}[31mb\\u{202e}')
})

test.each([
  [0, '0s'],
  [999, '0s'],
  [-5, '0s'],
  [61_000, '1m 1s'],
  [3_600_000, '1h'],
  [90_061_000, '1d 1h'],
])('%i ms is %s', (ms, text) => expect(span(ms)).toBe(text))

test('times have whole seconds', () => {
  expect(shortTime('2026-01-02T03:04:05.678Z')).toBe('2026-01-02T03:04:05Z')
  expect(shortTime(null)).toBe('-')
})

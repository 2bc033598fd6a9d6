import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressKey, nameKey } from './index.ts'

const letter = fc.integer({ min: 0, max: 0x10ffff }).filter((c) => c < 0xd800 || c > 0xdfff)
const anyText = fc.oneof(
  fc.array(letter, { maxLength: 12 }).map((codes) => String.fromCodePoint(...codes)),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: fc.constantFrom(...'aAßẞsSσςΣıİiI\u0307\u0345\u0301éÉëＡａ．。.-@'), maxLength: 12 }),
)
const domain = fc.constantFrom(
  'Example.ORG',
  'BÜCHER.example',
  'ｅｘａｍｐｌｅ．org',
  'ΝΊΚΟΣ.gr',
  'straße.de',
  'a_b.c',
  '127.1',
  'a/b',
  'x。y',
)
const address = fc.oneof(
  anyText,
  fc.tuple(anyText, domain).map((parts) => parts.join('@')),
)

test('letters of one code point fold alike when a regular expression without case takes one for the other (Unicode CaseFolding)', () => {
  const unlike: string[] = []
  for (let code = 1; code <= 0x1ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const one = String.fromCodePoint(code)
    for (const other of [
      one.toLowerCase(),
      one.toUpperCase(),
      one.normalize('NFKC'),
      one.normalize('NFD'),
      one.toLowerCase().toUpperCase(),
    ]) {
      if (nameKey(other) !== nameKey(one)) unlike.push(`${code.toString(16)} ${other}`)
    }
    if (/\p{L}/u.test(one)) {
      const folded = Array.from(nameKey(one))
      const [only] = folded
      const same = folded.length === 1 && only !== undefined && new RegExp(`^${one}$`, 'iu').test(only)
      if (folded.length === 1 && !same && one.normalize('NFKC') === one && one !== 'ı') unlike.push(`${code.toString(16)} → ${only}`)
    }
  }
  expect(unlike).toEqual([])
})

test('to fold again changes nothing, and neither case, composition nor width tells two apart', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const key = nameKey(text)
      expect(nameKey(key)).toBe(key)
      const even = text.normalize('NFKC')
      const others = [text.normalize('NFC'), text.normalize('NFD'), even, even.toLowerCase(), even.toUpperCase(), `\u00ad${text}\u200d`]
      for (const other of others) expect(nameKey(other)).toBe(key)
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(address, (text) => {
      const key = addressKey(text)
      expect(addressKey(key)).toBe(key)
      // As directories' addresses are kept: what was stored before this was folded leads to the same.
      expect(addressKey(text.normalize('NFKC').toLowerCase())).toBe(key)
      expect(addressKey(` ${text} `)).toBe(key)
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  [
    'zoë@example.org',
    'ZOË@Example.Org',
    'zoe\u0308@example.org',
    'zo\u00adë@example.org',
    'ｚｏë＠ｅｘａｍｐｌｅ．ｏｒｇ',
    ' zoë@example.org.',
  ],
  ['josé@bücher.example', 'JOSÉ@BÜCHER.EXAMPLE', 'josé@xn--bcher-kva.example', 'José@XN--BCHER-KVA.example.', 'josé@bücher。example'],
  ['νίκος@x.gr', 'ΝΊΚΟΣ@x.gr', 'νίκοσ@x.gr'],
  ['weiß@straße.de', 'WEISS@STRASSE.DE', 'weiẞ@xn--strae-oqa.de'],
  ['ann@[::1]', 'Ann@[::1]'],
])('%s is one address however it is written', (first, ...others) => {
  for (const other of others) expect(addressKey(other)).toBe(addressKey(first))
})

test('other addresses stay other addresses', () => {
  const all = [
    'zoe@example.org',
    'zoë@example.org',
    'zoe@example.com',
    'zoe@example.org/evil',
    'zoe@sub.example.org',
    'zoe@x@example.org',
    'zoe',
    'zoe@',
    'zoe@ex%61mple.org',
    'zoе@example.org',
  ]
  expect(new Set(all.map(addressKey)).size).toBe(all.length)
})

test('what is very long is cut, never within a character', () => {
  expect(addressKey(`${'x'.repeat(599)}😀`.repeat(2)).isWellFormed()).toBe(true)
  expect(Buffer.byteLength(nameKey('ﷺ'.repeat(200)))).toBeLessThan(2_000)
})

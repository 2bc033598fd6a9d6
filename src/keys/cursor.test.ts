import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode } from '../kernel/index.ts'
import { newKey } from '../seal/index.ts'
import { Cursors } from './cursor.ts'

const secret = newKey()
const cursors = new Cursors(secret)
const Text = fc.string({ unit: 'grapheme', maxLength: 200 }).filter((text) => !text.includes('\0') && text.isWellFormed())
const refused = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return isCode(error, 'bad_input')
  }
  return false
}

test('what is sealed opens again, at every server, and shows nothing of itself, not even its length', () => {
  fc.assert(
    fc.property(Text, Text, (text, other) => {
      const sealed = cursors.seal('GET /v1/x', text)
      expect(new Cursors(secret).open('GET /v1/x', sealed)).toBe(text)
      expect(cursors.seal('GET /v1/x', text)).not.toBe(sealed)
      if (Buffer.byteLength(text) < 64 && Buffer.byteLength(other) < 64)
        expect(cursors.seal('GET /v1/x', other)).toHaveLength(sealed.length)
    }),
  )
})

test('nothing else is taken: of another list, of another installation, changed by one character, or made up', () => {
  const sealed = cursors.seal('GET /v1/x', 'ada')
  expect(refused(() => cursors.open('GET /v1/y', sealed))).toBe(true)
  expect(refused(() => new Cursors(newKey()).open('GET /v1/x', sealed))).toBe(true)
  fc.assert(fc.property(fc.string(), (text) => refused(() => cursors.open('GET /v1/x', text))))
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (const [n, letter] of [...sealed].entries()) {
    const changed = letters[(letters.indexOf(letter) + 32) % 64] ?? ''
    expect(refused(() => cursors.open('GET /v1/x', sealed.slice(0, n) + changed + sealed.slice(n + 1)))).toBe(true)
  }
})

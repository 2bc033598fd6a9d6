import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashOfCode } from './code.ts'
import { aalOf } from './oidc.ts'
import type { ChallengeRow } from './passkey.store.ts'
import { ALGORITHMS, challengeText, inFrame } from './passkey.ts'

const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const code = fc.string({ unit: fc.constantFrom(...LETTERS), minLength: 32, maxLength: 32 })

test('a code is the same however it is typed, and no other code', () => {
  const typed = fc.tuple(code, fc.array(fc.tuple(fc.nat(40), fc.constantFrom(' ', '-', '\t')), { maxLength: 10 }), fc.boolean())
  fc.assert(
    fc.property(typed, ([text, blanks, lower]) => {
      let written = text.replaceAll('0', () => 'o').replaceAll('1', () => 'l')
      for (const [at, blank] of blanks) written = `${written.slice(0, at)}${blank}${written.slice(at)}`
      expect(hashOfCode(lower ? written.toLowerCase() : written)).toBe(hashOfCode(text))
      expect(hashOfCode(text)).toMatch(/^[0-9a-f]{64}$/)
    }),
  )
  fc.assert(fc.property(code, code, (one, other) => one === other || hashOfCode(one) !== hashOfCode(other)))
  fc.assert(fc.property(fc.string(), (text) => text.length >= 32 || hashOfCode(text) === null))
  for (const wrong of ['', 'U'.repeat(32), '0'.repeat(31), '0'.repeat(33), `${'0'.repeat(31)}é`]) expect(hashOfCode(wrong)).toBeNull()
})

test('a login is never worth more than the best of what is configured for what it says', () => {
  const values = fc.constantFrom('a', 'b', 'c', 'toString', '__proto__', 'constructor')
  const worth = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(1 as const, 2 as const, 3 as const))
  const claims = fc.record({ acr: fc.option(fc.oneof(values, fc.integer())), amr: fc.option(fc.array(fc.oneof(values, fc.integer()))) })
  fc.assert(
    fc.property(worth, worth, fc.constantFrom(1 as const, 2 as const), claims, (acr, amr, aal, said) => {
      const got = aalOf({ acr, amr, aal }, said as never)
      const named = [
        ...Object.entries(acr).flatMap(([value, level]) => (value === said.acr ? [level] : [])),
        ...Object.entries(amr).flatMap(([value, level]) => (said.amr?.some((it) => it === value) ? [level] : [])),
      ]
      expect(got).toBe(Math.max(aal, ...named))
    }),
  )
})

const row: ChallengeRow = {
  id: 'i',
  purpose: 'step_up',
  nonce: 'n',
  identity_id: 'p',
  action: 'approval:decide',
  subject: 's',
  digest: 'd',
  name: null,
  code: null,
  origin: 'https://rekey.example.com',
  rp_id: 'rekey.example.com',
}

test('a challenge says what it is for: whatever of it differs, it is another', () => {
  const base = challengeText(row)
  expect(base).toMatch(/^[\w-]{43}$/)
  expect(challengeText({ ...row })).toBe(base)
  const parts = ['id', 'purpose', 'nonce', 'identity_id', 'action', 'subject', 'digest', 'rp_id'] as const
  for (const part of parts) expect(challengeText({ ...row, [part]: 'login' }), part).not.toBe(base)
  // No text of one part can pass for the next one.
  expect(challengeText({ ...row, action: 'a', subject: 'bc' })).not.toBe(challengeText({ ...row, action: 'ab', subject: 'c' }))
})

test('what was answered in a frame, or cannot be read, is refused', () => {
  const encoded = (data: unknown) => Buffer.from(JSON.stringify(data)).toString('base64url')
  expect(inFrame(encoded({ crossOrigin: false }))).toBe(false)
  expect(inFrame(encoded({}))).toBe(false)
  expect(inFrame(encoded({ crossOrigin: true }))).toBe(true)
  expect(inFrame('!')).toBe(true)
  expect(inFrame(encoded(null))).toBe(true)
  expect(ALGORITHMS).toEqual([-8, -7, -257])
})

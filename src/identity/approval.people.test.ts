import fc from 'fast-check'
import { expect, test } from 'vitest'
import { approvalDigest } from './approval.model.ts'
import { cameIn, isAlike, withPeople } from './approval.people.ts'

const asked = (count: readonly string[], reason = 'r') =>
  withPeople({
    action: 'role:bind',
    subject: 'operator',
    what: { role: 'operator', reason },
    words: 'Give it.',
    people: count.map((id) => ({ id, name: `name of ${id}` })),
  })
const some = fc.uniqueArray(fc.integer({ min: 0, max: 40 }).map(String))

test('property: it fits as long as everybody who is in it was in it, whoever went', () => {
  fc.assert(
    fc.property(some, some, (was, is) => {
      const [before, now] = [asked(was), asked(is)]
      expect(isAlike(before.what, now.what)).toBe(true)
      expect(cameIn(before.what, now.what)).toEqual(is.filter((id) => !was.includes(id)).sort())
      if (is.some((id) => !was.includes(id))) expect(approvalDigest(before)).not.toBe(approvalDigest(now))
    }),
  )
})

test('what is asked for otherwise is another matter, whoever is in it', () => {
  expect(isAlike(asked(['1']).what, asked(['1'], 'another').what)).toBe(false)
})

test('of very many people a digest stands for all: it fits exactly those', () => {
  const many = Array.from({ length: 5000 }, (_, n) => `id-${n}`)
  expect(cameIn(asked(many).what, asked([...many].reverse()).what)).toEqual([])
  for (const other of [[...many, 'one'], many.slice(1), ['one', ...many.slice(1)], many.slice(0, 10)]) {
    expect(cameIn(asked(many).what, asked(other).what)).toBe(true)
    expect(cameIn(asked(other).what, asked(many).what)).toBe(true)
  }
})

test('the longest names do not make the words too long to be asked', () => {
  const long = Array.from({ length: 50 }, (_, n) => ({ id: `${n}`, name: '"'.repeat(200) }))
  const whole = withPeople({ action: 'role:bind', subject: 's', what: {}, words: 'w', people: long })
  expect(whole.words.length).toBeLessThan(1000)
  expect(whole.words).toContain('and 42 more')
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { differenceOf, doubtAfter, doubtOf, factsOf, OTHER_SERVER, otherServer } from './server.ts'

const facts = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'))

test('equal facts are no difference, and one that is named otherwise always is', () => {
  fc.assert(
    fc.property(facts, facts, (before, now) => {
      const names = Object.keys(before)
      const common = names.filter((name) => now[name] !== undefined)
      const same = names.length === 0 || (common.length > 0 && common.every((name) => before[name] === now[name]))
      expect(differenceOf({ facts: before, run: null }, { facts: now, run: null }, 0) === null).toBe(same)
    }),
  )
  expect(differenceOf(null, { facts: { a: '1' }, run: null }, 0)).toBeNull()
})

test('a run that had begun before the other one was seen is no restart of it', () => {
  const known = { facts: {}, run: { id: 'one', secondsAgo: 60 } }
  const found = (id: string, upSeconds: number) => differenceOf(known, { facts: {}, run: { id, upSeconds } }, 5)
  expect(found('one', 1_000_000)).toBeNull()
  expect(found('two', 3)).toBeNull()
  expect(found('two', 64)).toBeNull()
  expect(found('two', 76)).toContain('running already')
})

test('facts are short, printable, and told only where there is something to tell', () => {
  expect(factsOf({ a: 'x', b: '', c: null, d: undefined, e: 5 })).toEqual({ a: 'x', e: '5' })
  expect(factsOf({ a: `\u001b[31m${'y'.repeat(500)}` }).a).toMatch(/^[ -~]{1,200}$/)
})

test('what a login is worth by what was found of its server', async () => {
  expect(doubtOf(null)).toBeNull()
  expect(doubtOf('it is another')).toBe(OTHER_SERVER)
  expect(await doubtAfter(Promise.resolve())).toBeNull()
  expect(await doubtAfter(Promise.reject(otherServer('db', 'x was 1, is 2')))).toBe(OTHER_SERVER)
  expect(await doubtAfter(Promise.reject(new Error('gone')))).toBe('server_not_confirmed')
})

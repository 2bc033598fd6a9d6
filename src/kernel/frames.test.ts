import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { framesOf } from './index.ts'

const HERE = import.meta.url
const CANARY = 'canary-4471'

function thrown(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  throw new Error('It was not thrown.')
}

test('the frames of an error are where it was thrown, the innermost first, as path, line and column', async () => {
  const frames = framesOf(
    await (async () => {
      await null
      throw new TypeError(CANARY)
    })().catch((error: unknown) => error),
  )
  expect(frames[0]).toMatch(/frames\.test\.ts:\d+:\d+$/)
  expect(framesOf(thrown(() => readFileSync('/nowhere')))[0]).toMatch(/^node:fs:\d+:\d+$/)
  expect(framesOf(thrown(() => JSON.parse('{'))).length).toBeGreaterThan(1)
  const deep = (n: number): Error => (n === 0 ? new Error(CANARY) : deep(n - 1))
  expect(framesOf(deep(9), 5)).toHaveLength(5)
})

test('nothing of a message is a frame, whatever it looks like', () => {
  const line = fc.oneof(
    fc.constantFrom(`    at ${CANARY} (${HERE}:1:1)`, `    at ${HERE}:1:1`, `at ${CANARY}`, '', 'Error', `${CANARY}:1:1`),
    fc.string(),
  )
  fc.assert(
    fc.property(fc.array(line), fc.array(line), (lines, later) => {
      const message = `${CANARY}\n${lines.join('\n')}`
      const plain = framesOf(new Error('x'))
      const error = new Error(message)
      // A message may change after the text of the stack was fixed, in which the first one stays.
      error.message = later.join('\n')
      const frames = framesOf(error)
      expect(frames).toHaveLength(plain.length)
      expect(JSON.stringify(frames)).not.toContain(CANARY)
      expect(frames.every((frame) => /^[^\n]+:\d+:\d+$/.test(frame))).toBe(true)
    }),
  )
})

test('a stack that was written by hand or read before gives none; it stays readable', () => {
  const forged = new Error('x')
  forged.stack = `Error: x\n    at ${CANARY} (${HERE}:1:1)`
  expect(framesOf(forged)).toEqual([])
  const read = new Error(`x\n    at ${CANARY} (${HERE}:1:1)`)
  expect(read.stack).toContain(CANARY)
  expect(framesOf(read)).toEqual([])
  const fresh = new RangeError('said')
  expect(framesOf(fresh).length).toBeGreaterThan(0)
  expect(fresh.stack).toMatch(/^RangeError: said\n {4}at .*frames\.test\.ts/)
})

test.each([['text'], [null], [undefined], [{ stack: `    at ${CANARY} (x:1:1)` }], [7]])('what is no error has none: %j', (value) => {
  expect(framesOf(value)).toEqual([])
})

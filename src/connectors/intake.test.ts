import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode } from '../kernel/index.ts'
import { flooded, Intake, type Size } from './intake.ts'

const MIB = 1024 * 1024
const MOST: Record<Size, number> = { small: MIB, large: 16 * MIB }

test('a connection ends when more came than the largest call under way may bring, and once', async () => {
  const step = fc.oneof(fc.constantFrom<Size[]>('small', 'large'), fc.constant(null), fc.integer({ min: 0, max: 6 * MIB }))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const ends: Error[] = []
      const intake = new Intake((fault) => ends.push(fault))
      const open: (() => void)[] = []
      let left: number = MIB
      let over = false
      for (const each of steps) {
        if (typeof each === 'number') {
          intake.take(each)
          left -= each
          over ||= left < 0
        } else if (each !== null) {
          left = open.length === 0 ? MOST[each] : Math.max(left, MOST[each])
          void intake.during(each, () => new Promise<void>((resolve) => open.push(resolve)))
        } else if (open.length > 0) {
          open.pop()?.()
          await new Promise(setImmediate)
          if (open.length === 0) left = MIB
        }
        expect(ends.length).toBe(over ? 1 : 0)
        expect(intake.fault !== null).toBe(over)
      }
      // What is under way counts together with the calls of the next test.
      for (const resolve of open) resolve()
      await new Promise(setImmediate)
    }),
  )
})

test('a call fails with that fault, whatever the library says', async () => {
  const intake = new Intake(() => undefined)
  await expect(intake.during('small', () => Promise.reject(new Error('lost')))).rejects.toThrow('lost')
  const call = intake.during('small', async () => {
    intake.take(MIB + 1)
    throw new Error('lost')
  })
  const error = await call.catch((thrown: { code?: string }) => flooded('Redis', thrown.code ?? ''))
  expect(isCode(error, 'target_conflict')).toBe(true)
  expect(flooded('Redis', 'ECONNRESET')).toBeNull()
})

test('what came may take so much memory, whatever its length, and a call begins anew', async () => {
  const intake = new Intake(() => undefined)
  const brought = (size: Size, mib: number) => intake.during(size, async () => intake.keep(mib * MIB))
  expect(await brought('small', 8)).toBe(true)
  expect(await brought('small', 8)).toBe(true)
  expect(await brought('large', 64)).toBe(true)
  const nothing = intake.during('small', async () => {
    for (let at = 0; at < 20_000; at++) intake.take(1)
    throw new Error('lost')
  })
  await expect(nothing).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
})

test('all together may take so much, and the one with the most ends', async () => {
  const ended: number[] = []
  const open: (() => void)[] = []
  const intakes = [10, 60, 50, 50, 50].map((mib, which) => {
    const intake = new Intake(() => ended.push(which))
    const call = intake.during('large', () => new Promise<void>((resolve) => open.push(resolve)))
    intake.keep(mib * MIB)
    return { intake, call }
  })
  expect(ended).toEqual([])
  // The one that says little is not the one that ends for it.
  expect(intakes[0]?.intake.keep(40 * MIB)).toBe(true)
  expect(ended).toEqual([1])
  const fault = intakes[1]?.intake.fault as { code?: string } | null | undefined
  expect(isCode(flooded('Redis', fault?.code ?? ''), 'target_unreachable')).toBe(true)
  // What the ended one held is free, and so is what the others held once their calls are over.
  for (const resolve of open) resolve()
  await Promise.all(intakes.map(({ call }) => call))
  for (let again = 0; again < 10; again++) {
    const each = new Intake(() => ended.push(9))
    expect(await each.during('large', async () => each.keep(60 * MIB))).toBe(true)
  }
  expect(ended).toEqual([1])
})

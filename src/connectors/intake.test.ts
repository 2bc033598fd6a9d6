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

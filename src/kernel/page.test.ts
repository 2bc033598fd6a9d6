import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LOOKED_AT_MAX, pageOfSeen } from './index.ts'

const listOf = (all: readonly number[], isMine: (n: number) => boolean) => {
  let looked = 0
  return {
    looked: () => looked,
    read: async (after: string | null, count: number) => {
      const found = all.filter((n) => after === null || n > Number(after)).slice(0, count)
      looked += found.length
      return found
    },
    cursorOf: String,
    mine: (rows: readonly number[]) => rows.filter(isMine),
  }
}

test('property: pages hold what may be seen, in order, each full but the last; what lies between makes no difference', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), fc.integer({ min: 1, max: 7 }), async (seen, limit) => {
      const all = [...seen.keys()]
      const mine = all.filter((n) => seen[n])
      const [list, alone] = [listOf(all, (n) => seen[n] === true), listOf(mine, () => true)]
      let after: string | null = null
      do {
        const page: { items: number[]; next: string | null } = await pageOfSeen({ after, limit }, list)
        expect(page).toEqual(await pageOfSeen({ after, limit }, alone))
        after = page.next
      } while (after !== null)
    }),
  )
})

test('one request looks at so many rows and no more; what follows still comes', async () => {
  const all = [...Array(LOOKED_AT_MAX + 5_000).keys()]
  const list = listOf(all, (n) => n === all.length - 1)
  const first = await pageOfSeen({ after: null, limit: 10 }, list)
  expect(first.items).toEqual([])
  expect(list.looked()).toBeLessThan(LOOKED_AT_MAX + 2_000)
  expect(await pageOfSeen({ after: first.next, limit: 10 }, list)).toEqual({ items: [all.length - 1], next: null })
})

/** Who counts as whom: nobody is joined by another directory's later word, and nobody gets two votes by it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Holding, humansFrom, type Said } from './person.model.ts'

const IDS = ['a', 'b', 'c', 'd', 'e', 'f']
const id = fc.constantFrom(...IDS)
const Has = fc.record({
  address: fc.constantFrom('1', '2', '3', '4'),
  identity: id,
  directory: fc.constantFrom('corp', 'sub', 'third', null),
  sinceMs: fc.nat(6),
})
const Says = fc.record({ one: id, other: id, same: fc.boolean() }).filter(({ one, other }) => one !== other)
/** As in the table: the last word of two counts, and there is one. */
const Words = fc
  .array(Says, { maxLength: 4 })
  .map((all) => [...new Map(all.map((it) => [[it.one, it.other].sort().join(), it])).values()] as Said[])
const Held = fc.array(Has, { maxLength: 10 })
const of = (humans: ReadonlyMap<string, readonly string[]>, who: string) => humans.get(who) ?? []
const eligible = (humans: ReadonlyMap<string, readonly string[]>) => IDS.filter((one) => of(humans, one).length === 1)
const shares = (all: readonly Holding[], said: readonly Said[], a: string, b: string) =>
  !said.some(({ one, other, same }) => !same && [one, other].sort().join() === [a, b].sort().join()) &&
  all.some((x) => x.identity === a && all.some((y) => y.identity === b && y.address === x.address))

test('everybody is somebody, and two who share an address are never two votes, nor strangers to each other’s requests', () => {
  fc.assert(
    fc.property(Words, Held, (said, held) => {
      const humans = humansFrom(IDS, said, held)
      for (const a of IDS) expect(of(humans, a).length).toBeGreaterThan(0)
      const votes = eligible(humans)
      for (const a of IDS) {
        for (const b of IDS) {
          if (a === b || !shares(held, said, a, b)) continue
          expect(of(humans, a).some((human) => of(humans, b).includes(human))).toBe(true)
          if (votes.includes(a) && votes.includes(b)) expect(of(humans, a)).toEqual(of(humans, b))
        }
      }
      for (const { one, other, same } of said) if (same) expect(of(humans, one)).toEqual(of(humans, other))
    }),
    { numRuns: 2_000 },
  )
})

test('a later word of another directory changes nothing between those who were there', () => {
  fc.assert(
    fc.property(Words, Held, fc.uniqueArray(fc.constantFrom('1', '2', '3', '4'), { minLength: 1 }), (words, all, addresses) => {
      // `f` is made by a directory that has said nothing yet, and pushes addresses of others.
      const said = words.filter(({ one, other }) => one !== 'f' && other !== 'f')
      const held = all.filter(({ identity }) => identity !== 'f')
      const pushed = addresses.map((address): Holding => ({ address, identity: 'f', directory: 'evil', sinceMs: 100 }))
      const [before, after] = [humansFrom(IDS, said, held), humansFrom(IDS, said, [...held, ...pushed])]
      for (const one of IDS.slice(0, -1)) expect(of(after, one)).toEqual(of(before, one))
    }),
    { numRuns: 2_000 },
  )
})

test('the order in which rows are read changes nothing', () => {
  fc.assert(
    fc.property(Words, Held, (said, held) => {
      expect(humansFrom(IDS.toReversed(), said.toReversed(), held.toReversed())).toEqual(
        new Map([...humansFrom(IDS, said, held)].toReversed()),
      )
    }),
  )
})

test('who has addresses of two people may be both, and each of them is one still', () => {
  const held: Holding[] = [
    { address: 'a@corp', identity: 'a', directory: 'corp', sinceMs: 1 },
    { address: 'b@corp', identity: 'b', directory: 'corp', sinceMs: 1 },
    { address: 'a@corp', identity: 'c', directory: 'sub', sinceMs: 2 },
    { address: 'b@corp', identity: 'c', directory: 'sub', sinceMs: 2 },
    { address: 'a@corp', identity: 'd', directory: 'sub', sinceMs: 3 },
  ]
  expect([...humansFrom(['a', 'b', 'c'], [], held.slice(0, 4))]).toEqual([
    ['a', ['a']],
    ['b', ['b']],
    ['c', ['a', 'b']],
  ])
  expect(humansFrom(['a', 'b', 'c', 'd'], [], held).get('b')).toEqual(['b'])
})

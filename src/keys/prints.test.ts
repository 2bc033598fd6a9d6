import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Secret } from '../kernel/index.ts'
import { newKey } from '../seal/index.ts'
import { RequestPrints } from './prints.ts'

test('two texts are one exactly if the requests are, their secrets with them; no secret is in one', () => {
  const secret = fc.string({ minLength: 12 })
  const bodies = fc.record({ name: fc.string(), secrets: fc.dictionary(fc.string(), secret), list: fc.array(secret) })
  const prints = new RequestPrints(newKey())
  const other = new RequestPrints(newKey())
  fc.assert(
    fc.property(bodies, bodies, (a, b) => {
      const wrapped = ({ name, secrets, list }: typeof a) => ({
        name,
        secrets: Object.fromEntries(Object.entries(secrets).map(([key, value]) => [key, Secret.fromText(value)])),
        list: list.map((value) => Secret.fromText(value)),
      })
      const text = prints.textOf(['me', 'key'], wrapped(a))
      expect(prints.textOf(['me', 'key'], wrapped(a))).toBe(text)
      expect(prints.textOf(['me', 'key'], wrapped(b)) === text).toBe(JSON.stringify(a) === JSON.stringify(b))
      for (const one of a.list) {
        expect(other.textOf(['me', 'key'], [Secret.fromText(one)])).not.toBe(prints.textOf(['me', 'key'], [Secret.fromText(one)]))
        expect(prints.textOf(['me', 'other'], [Secret.fromText(one)])).not.toBe(prints.textOf(['me', 'key'], [Secret.fromText(one)]))
        expect(prints.textOf(['me', 'key'], [Secret.fromText(one)])).not.toContain(one)
      }
    }),
  )
})

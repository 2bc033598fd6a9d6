import fc from 'fast-check'
import { expect, test } from 'vitest'
import { whoseConsumer } from './consumer.whose.ts'

const HOLDER = { id: 'id-of-api', name: 'orders-api' }
const NAMED = new Map([['orders-api-ui', 'id-of-ui']])

test.each([
  ['orders-api', 'id-of-api'],
  ['orders-api-1', 'id-of-api'],
  ['orders-api/eu', 'id-of-api'],
  ['orders-apix', null],
  ['orders', null],
  ['nightly-report', null],
  ['orders-api-ui', 'id-of-ui'],
  ['orders-api-', null],
])('the consumer %s of orders-api is, by its name, that of %s', (name, whose) => {
  expect(whoseConsumer({ name, identity: null }, HOLDER, NAMED)).toBe(whose)
})

const word = fc.constantFrom('ada', 'ada-1', 'ada-laptop', 'bob', 'bob-1', 'report', '')

test('what the fleet file says decides, whatever anybody is called', () => {
  const names = fc.dictionary(word, fc.uuid()).map((found) => new Map(Object.entries(found)))
  fc.assert(
    fc.property(word, fc.uuid(), word, names, (name, identity, held, named) => {
      expect(whoseConsumer({ name, identity }, { id: 'holder', name: held }, named)).toBe(identity)
    }),
  )
})

test('without it: exactly whose name it has before the credential’s own, and never an identity that is not called so', () => {
  const names = fc.dictionary(word, fc.uuid()).map((found) => new Map(Object.entries(found)))
  fc.assert(
    fc.property(word, word, names, (name, held, named) => {
      const whose = whoseConsumer({ name, identity: null }, { id: 'holder', name: held }, named)
      if (named.has(name)) expect(whose).toBe(named.get(name))
      else if (whose !== null) expect([whose, name.startsWith(held)]).toEqual(['holder', true])
      expect(whoseConsumer({ name, identity: null }, undefined, named)).toBe(named.get(name) ?? null)
    }),
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../kernel/index.ts'
import { type Change, diffFleet, renderDiff } from './fleet.diff.ts'
import { GOOD, OPTIONS } from './fleet.kit.ts'
import type { Fleet, FleetConsumer, Inventory } from './fleet.model.ts'
import { parseFleet } from './fleet.parse.ts'

type Credential = Inventory['credentials'][number]

const name = fc.constantFrom('a', 'b', 'c', 'a b', 'A', 'ä', '"],[')
const maybe = (values: fc.Arbitrary<string>) => fc.option(values, { nil: null })
const uniqueNames = <T extends { name: string }>(item: fc.Arbitrary<T>) => fc.uniqueArray(item, { selector: (it) => it.name, maxLength: 5 })

const system = fc.record({
  name,
  connector: fc.constantFrom('postgres', 'redis'),
  address: fc.record({
    host: name,
    port: fc.constantFrom(1, 2),
    database: maybe(name),
    tls: fc.constantFrom('off' as const, 'require' as const),
    caFile: maybe(name),
  }),
  root: fc.record({ account: name }),
  limits: fc.record({ concurrent: fc.constantFrom(1, 8) }),
})
const identity = fc.record({
  name,
  kind: fc.constantFrom('human' as const, 'agent' as const),
  owner: name,
  purpose: name,
  environment: name,
})
const consumer: fc.Arbitrary<FleetConsumer> = fc.record({
  name,
  identity: maybe(name),
  file: fc.option(fc.record({ path: name, key: maybe(name) }), { nil: null }),
  activation: fc.constantFrom('session' as const, 'none' as const),
})
const credential = fc.record({
  name,
  identity: name,
  system: name,
  accounts: fc.uniqueArray(name, { minLength: 1, maxLength: 2 }),
  strategy: fc.constantFrom('in-place' as const, 'dual' as const),
  rotate: fc.record({ everySeconds: fc.option(fc.nat({ max: 3 }), { nil: null }), graceSeconds: fc.nat({ max: 3 }) }),
  consumers: uniqueNames(consumer),
  live: fc.boolean(),
})
const inventory: fc.Arbitrary<Inventory> = fc.record({
  systems: uniqueNames(system),
  identities: uniqueNames(identity),
  credentials: uniqueNames(credential),
})

/** The inventory as a table of items, without order and without what is not declared; live accounts have no order either. */
function tableOf({ systems, identities, credentials }: Inventory, unordered: ReadonlySet<string>): Map<string, Record<string, Json>> {
  const table = new Map<string, Record<string, Json>>()
  const put = (of: string, credential: string | null, itemName: string, fields: object) =>
    table.set(JSON.stringify([of, credential, itemName]), flat(fields))
  for (const { name: itemName, ...fields } of systems) put('system', null, itemName, fields)
  for (const { name: itemName, ...fields } of identities) put('identity', null, itemName, fields)
  for (const { name: itemName, consumers, live: _live, accounts, ...fields } of credentials) {
    put('credential', null, itemName, { ...fields, accounts: unordered.has(itemName) ? [...accounts].sort() : accounts })
    for (const { name: consumerName, identity, file, activation } of consumers) {
      put('consumer', itemName, consumerName, { identity, file: file ?? { path: null, key: null }, activation })
    }
  }
  return table
}

function flat(value: object, prefix = ''): Record<string, Json> {
  const entries = Object.entries(value).map(([key, inner]) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? flat(inner, `${prefix}${key}.`)
      : { [prefix + key]: inner as Json },
  )
  return Object.assign({}, ...entries)
}

function apply(table: Map<string, Record<string, Json>>, changes: readonly Change[]): Map<string, Record<string, Json>> {
  const result = new Map(table)
  for (const { kind, of, credential: owner, name: itemName, fields } of changes) {
    const key = JSON.stringify([of, owner, itemName])
    const before = result.get(key)
    expect(before === undefined).toBe(kind === 'add')
    if (kind === 'missing-from-file') result.delete(key)
    else {
      for (const { field, before: was } of fields) expect(was).toEqual(before?.[field])
      result.set(key, { ...before, ...Object.fromEntries(fields.map(({ field, after }) => [field, after as Json])) })
    }
  }
  return result
}

const liveOf = ({ credentials }: Inventory) => new Set(credentials.filter(({ live }) => live).map((it) => it.name))

test('an inventory does not differ from itself, in any order', () => {
  fc.assert(
    fc.property(inventory, (a) => {
      const turned = { systems: a.systems.toReversed(), identities: a.identities.toReversed(), credentials: a.credentials.toReversed() }
      expect(diffFleet(a, a)).toEqual([])
      expect(diffFleet(a, turned)).toEqual([])
    }),
  )
})

test('applying the difference to the one gives the other', () => {
  fc.assert(
    fc.property(inventory, inventory, (a, b) => {
      const live = liveOf(a)
      expect(apply(tableOf(a, live), diffFleet(a, b))).toEqual(tableOf(b, live))
    }),
    { numRuns: 300 },
  )
})

test('a change is refused exactly where it would move a living credential', () => {
  fc.assert(
    fc.property(inventory, inventory, (a, b) => {
      const live = liveOf(a)
      const liveSystems = new Set(a.credentials.filter((it) => it.live).map((it) => it.system))
      for (const change of diffFleet(a, b)) {
        const touched = (...names: string[]) => change.fields.some(({ field }) => names.includes(field))
        const moved = change.of === 'credential' && live.has(change.name) && touched('accounts', 'system', 'strategy')
        const rewired = change.of === 'system' && liveSystems.has(change.name) && touched('connector')
        expect(change.dangerous).toBe(change.kind === 'change' && (moved || rewired))
        const told = change.kind === 'change' && change.of === 'system' && touched('address.host', 'address.port')
        expect(change.reason === null).toBe(!change.dangerous && !told)
      }
    }),
    { numRuns: 300 },
  )
})

test('systems come before identities before credentials, by name, each credential before its consumers', () => {
  fc.assert(
    fc.property(inventory, inventory, (a, b) => {
      const rank = ['system', 'identity', 'credential', 'consumer']
      const order = diffFleet(a, b).map(({ of, credential: owner, name: itemName }) =>
        owner === null ? [rank.indexOf(of), itemName, '', ''] : [2, owner, '+', itemName],
      )
      const sorted = order.toSorted((x, y) => {
        const i = x.findIndex((part, at) => part !== y[at])
        return i < 0 ? 0 : (x[i] ?? '') < (y[i] ?? '') ? -1 : 1
      })
      expect(order).toEqual(sorted)
    }),
  )
})

const good = parseFleet(GOOD, OPTIONS)

function withFirst(changes: Partial<Credential>): Inventory {
  const [first, ...rest] = good.credentials
  if (!first) throw new Error('The good file has no credential.')
  return { ...good, credentials: [{ ...first, ...changes }, ...rest] }
}

test('where a secret is read from is not part of the inventory', () => {
  const moved: Fleet = {
    ...good,
    systems: good.systems.map((it) => ({ ...it, root: { ...it.root, secret: { env: 'OTHER' } } })),
    credentials: good.credentials.map((it) => ({ ...it, current: null })),
  }
  expect(diffFleet(good, moved)).toEqual([])
  const all = JSON.stringify(diffFleet({ systems: [], identities: [], credentials: [] }, good))
  expect(all).toContain('rekey_root')
  expect(all).not.toMatch(/root\.secret|orders\.secret|CACHE_ROOT|prompt/)
})

test('a moved account of a live credential is refused, with the reason; of one that is not live it is a change', () => {
  const wanted = withFirst({ accounts: ['other'] })
  expect(diffFleet(withFirst({ live: true }), wanted)).toEqual([
    {
      kind: 'change',
      of: 'credential',
      name: 'orders-api@orders-db',
      credential: null,
      fields: [{ field: 'accounts', before: ['orders_api'], after: ['other'] }],
      dangerous: true,
      reason: 'accounts cannot change while a version of the credential is alive',
    },
  ])
  expect(diffFleet(good, wanted)).toEqual([expect.objectContaining({ dangerous: false, reason: null })])
})

test('the order of an alternating pair is read once: for a live credential another order is no change', () => {
  const pair = withFirst({ accounts: ['x', 'y'], live: true })
  expect(diffFleet(pair, withFirst({ accounts: ['y', 'x'] }))).toEqual([])
  expect(
    diffFleet({ ...pair, credentials: pair.credentials.map((it) => ({ ...it, live: false })) }, withFirst({ accounts: ['y', 'x'] })),
  ).toHaveLength(1)
})

test('the diff is shown as lines, with a summary', () => {
  const wanted = withFirst({ rotate: { everySeconds: 864_000, graceSeconds: 600 }, accounts: ['other'] })
  const present = withFirst({ live: true, consumers: good.credentials[0]?.consumers.slice(0, 1) ?? [] })
  const old = { name: 'old\u001b[2J', kind: 'human' as const, owner: 'o', purpose: 'p', environment: 'e' }
  const changes = diffFleet({ ...present, identities: [...present.identities, old] }, wanted)
  expect(renderDiff(changes, { color: false })).toEqual([
    '- identity old\\u{1b}[2J',
    '~ credential orders-api@orders-db',
    '    accounts: orders_api -> other',
    '    rotate.every: 30d -> 10d',
    '    refused: accounts cannot change while a version of the credential is alive',
    '+ consumer orders-api-2 of orders-api@orders-db',
    '    identity: orders-api',
    '    activation: session',
    '1 to add, 1 to change, 1 missing from the file',
  ])
  expect(renderDiff(changes, { color: true })[1]).toBe('\u001b[33m~ credential orders-api@orders-db\u001b[0m')
  expect(renderDiff([], { color: true })).toEqual(['0 to add, 0 to change, 0 missing from the file'])
})

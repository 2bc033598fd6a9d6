import type { Strategy } from '../src/connectors/contract.ts'

/** The systems of the drill's fleet. `catalog-db` and `cache` are there when their programs are. */
export type SystemName = 'orders-db' | 'catalog-db' | 'cache'

/** One service of the fleet: an identity with one credential. */
export interface Service {
  readonly name: string
  readonly system: SystemName
  readonly strategy: Strategy
  readonly kind: 'workload' | 'machine' | 'agent'
  readonly owner: string
  readonly purpose: string
  /** The table it reads, or the prefix of its keys. */
  readonly uses: string
  readonly writes: boolean
  /** Processes that use the credential at the same time. */
  readonly consumers: number
  /** Logs in for every request, like a script; the others keep their connection. */
  readonly script: boolean
  /** The file it shares with others (one line each); else a file of its own. */
  readonly shares: string | null
  /** Whether its value lies in the store that leaks. */
  readonly leaks: boolean
}

type Row = readonly [name: string, owner: string, purpose: string, uses: string, more?: Partial<Service>]

const ORDERS_IN_PLACE: readonly Row[] = [
  ['orders-api', 'team-orders', 'takes orders', 'orders', { consumers: 2, writes: true }],
  ['orders-worker', 'team-orders', 'packs orders', 'orders'],
  ['orders-mailer', 'team-orders', 'writes to customers', 'customers'],
  ['orders-archive', 'team-orders', 'moves old orders away', 'orders', { kind: 'machine', script: true }],
  ['payments-api', 'team-payments', 'takes payments', 'payments', { consumers: 2, writes: true }],
  ['payments-ledger', 'team-payments', 'keeps the books', 'payments'],
  ['payments-refunds', 'team-payments', 'pays back', 'payments'],
  ['fraud-scoring', 'team-payments', 'scores payments', 'payments'],
  ['invoice-pdf', 'team-payments', 'prints invoices', 'payments', { kind: 'machine', script: true }],
  ['web-checkout', 'team-web', 'the checkout pages', 'orders', { shares: 'web' }],
  ['web-account', 'team-web', 'the account pages', 'customers', { shares: 'web' }],
  ['web-admin', 'team-web', 'the back office', 'customers'],
  ['support-agent', 'team-support', 'answers questions about orders', 'orders', { kind: 'agent' }],
  ['support-desk', 'team-support', 'looks customers up', 'customers'],
  ['data-export', 'team-data', 'nightly export', 'orders', { kind: 'machine', script: true }],
  ['data-report', 'team-data', 'the sales report', 'orders'],
  ['data-forecast', 'team-data', 'forecasts demand', 'orders', { kind: 'agent' }],
  ['partner-feed', 'team-partners', 'orders for partners', 'orders', { kind: 'machine' }],
  ['dwh-loader', 'team-data', 'fills the warehouse', 'orders', { leaks: false }],
  ['ops-dashboard', 'team-ops', 'watches the shop', 'orders', { leaks: false }],
]

const ORDERS_ALTERNATING: readonly Row[] = [
  ['shipping', 'team-orders', 'ships orders', 'orders'],
  ['returns', 'team-orders', 'takes orders back', 'orders'],
  ['billing', 'team-payments', 'sends bills', 'payments'],
  ['loyalty', 'team-web', 'counts points', 'customers'],
]

const CATALOG_IN_PLACE: readonly Row[] = [
  ['catalog-api', 'team-catalog', 'serves the catalogue', 'products', { writes: true }],
  ['catalog-images', 'team-catalog', 'pictures of products', 'products'],
  ['reviews-api', 'team-catalog', 'reviews of products', 'reviews'],
  ['reviews-agent', 'team-catalog', 'moderates reviews', 'reviews', { kind: 'agent' }],
]

const CATALOG_DUAL: readonly Row[] = [
  ['pricing-api', 'team-pricing', 'serves prices', 'products'],
  ['pricing-batch', 'team-pricing', 'computes prices', 'products', { kind: 'machine' }],
  ['promo-api', 'team-pricing', 'special offers', 'products'],
  ['search-index', 'team-catalog', 'feeds the search', 'products', { kind: 'machine' }],
]

const CACHE_DUAL: readonly Row[] = [
  ['session-web', 'team-web', 'sessions of the web shop', 'session', { shares: 'sessions' }],
  ['session-mobile', 'team-web', 'sessions of the app', 'session', { shares: 'sessions' }],
  ['cart-api', 'team-orders', 'shopping carts', 'cart', { writes: true }],
  ['cart-worker', 'team-orders', 'forgets old carts', 'cart'],
  ['rate-limit', 'team-ops', 'limits requests', 'limit', { writes: true }],
  ['feature-flags', 'team-ops', 'switches features', 'flag'],
  ['stock-cache', 'team-catalog', 'what is in stock', 'stock'],
  ['price-cache', 'team-pricing', 'prices at hand', 'price'],
]

/** The whole fleet: 40 credentials when every system is there. */
export const SERVICES: readonly Service[] = [
  ...ORDERS_IN_PLACE.map((row) => service('orders-db', 'in-place', row)),
  ...ORDERS_ALTERNATING.map((row) => service('orders-db', 'alternating', row)),
  ...CATALOG_IN_PLACE.map((row) => service('catalog-db', 'in-place', row)),
  ...CATALOG_DUAL.map((row) => service('catalog-db', 'dual', row)),
  ...CACHE_DUAL.map((row) => service('cache', 'dual', row)),
]

function service(system: SystemName, strategy: Strategy, [name, owner, purpose, uses, more]: Row): Service {
  const usual = { kind: 'workload', writes: false, consumers: 1, script: false, shares: null, leaks: true } as const
  return { ...usual, name, system, strategy, owner, purpose, uses, ...more }
}

/** The account that a service has, or the two of an alternating pair, the one in use first. */
export function accountsOf({ name, strategy }: Service): readonly string[] {
  const account = name.replaceAll('-', '_')
  return strategy === 'alternating' ? [`${account}_a`, `${account}_b`] : [account]
}

/** The name of its credential in the inventory. */
export function credentialOf({ name, system }: Service): string {
  return `${name}@${system}`
}

import type { Capabilities, Strategy } from '../connectors/contract.ts'
import { RekeyError } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { parseFleet } from './fleet.parse.ts'

/** What tests of the fleet file share: a good file that uses every key, and connectors that differ in what the checks look at. */
export const GOOD = `version: 1
systems:
  - name: orders-db
    connector: postgres                # a comment
    address: { host: 127.0.0.1, port: 5433, database: orders, tls: off }
    root: { account: rekey_root, secret: { file: ./root.secret } }
    limits: { concurrent: 4 }
  - name: cache
    connector: redis
    address:
      host: cache.example.net
      tls: verify-full
      caFile: ./ca.pem
    root: { account: default, secret: { env: CACHE_ROOT } }
identities:
  - { name: orders-api, kind: workload, owner: team-orders, purpose: serves orders, environment: prod }
credentials:
  - name: orders-api@orders-db
    identity: orders-api
    system: orders-db
    account: orders_api
    strategy: in-place
    current: { file: ./orders.secret }
    rotate: { every: 30d, grace: 10m }
    consumers:
      - { name: orders-api-1, file: { path: ./orders.env, key: DB_PASSWORD }, activation: session }
      - { name: orders-api-2, identity: orders-api, activation: session }
  - name: orders-job@orders-db
    identity: orders-api
    system: orders-db
    accounts: [orders_a, orders_b]
    strategy: alternating
    consumers:
      - { name: job, file: { path: ./job.secret }, activation: none }
  - name: orders-api@cache
    identity: orders-api
    system: cache
    account: orders
    strategy: dual
    current: { prompt: true }
    consumers:
      - { name: orders-api-1, file: { path: ./orders.env, key: CACHE_PASSWORD }, activation: report }
`

function capabilities(connector: string, strategies: readonly Strategy[], tells: readonly Strategy[], names: boolean): Capabilities {
  return {
    connector,
    strategies,
    canRevoke: true,
    acceptsVerifier: 'SCRAM-SHA-256',
    canListGrants: true,
    canEndSessions: true,
    sessionTellsVersion: tells,
    sessionNamesConsumer: names,
    revocationLatencyMs: 0,
    loginWindowMs: 0,
    suspension: null,
    defaultPort: 5432,
    rootStrategy: 'in-place',
  }
}

const CONNECTORS = new Map([
  ['postgres', capabilities('postgres', ['in-place', 'alternating'], ['in-place', 'alternating'], true)],
  ['mariadb', capabilities('mariadb', ['in-place', 'dual'], ['in-place'], false)],
  ['redis', capabilities('redis', ['dual'], [], false)],
])

export const OPTIONS: FleetOptions = {
  knownConnector: (name) => CONNECTORS.get(name) ?? null,
  checkAccount: (_connector, name) => {
    if (name.length > 63 || name === 'reserved') throw new RekeyError('bad_input', 'The name is too long or reserved.')
  },
}

/** The faults with which the text is refused. Throws if it is accepted. */
export function faultsOf(text: string): NonNullable<RekeyError['faults']> {
  try {
    parseFleet(text, OPTIONS)
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'fleet_invalid') return error.faults ?? []
    throw error
  }
  throw new Error('The file was accepted.')
}

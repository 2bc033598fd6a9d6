import { isAbsolute, resolve } from 'node:path'
import { canonicalJson } from '../evidence/index.ts'
import { fleetIdentities } from '../identity/index.ts'
import { isCode, type Json, RekeyError } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { checkPath } from './files.ts'
import { type Change, diffFleet } from './fleet.diff.ts'
import { type Fleet, type Inventory, mapPaths, type SecretSource } from './fleet.model.ts'
import { parseFleet } from './fleet.parse.ts'
import { allConsumers, allCredentials, allSystems, type ConsumerRow, type CredentialRow, type SystemRow } from './inventory.store.ts'
import type { Targets } from './targets.ts'

/** A fleet.yaml and the absolute folder that its relative paths start from. */
export interface FleetText {
  readonly text: string
  readonly folder: string
}

/** A secret that applying would read: `for` is `system:<name>` or `credential:<name>`. */
export interface NeededSecret {
  readonly for: string
  readonly source: SecretSource
}

/** What applying a fleet file would do. The digest stands for all of it: applying asks for the same. */
export interface InventoryDiff {
  readonly changes: readonly Change[]
  readonly summary: { readonly add: number; readonly change: number; readonly missing: number; readonly refused: number }
  readonly digest: string
  /** Only secrets that are read now: of new systems and credentials, and of systems whose root account changes. */
  readonly needed: readonly NeededSecret[]
  /** Every file of a certificate authority that the fleet names, changed or not: renewed text is taken over at the next apply. */
  readonly authorities: readonly string[]
}

/** The stored inventory, in the words of the file and with its ids. */
export interface Present {
  readonly inventory: Inventory
  readonly systems: ReadonlyMap<string, SystemRow>
  readonly credentials: ReadonlyMap<string, CredentialRow>
}

/** A system whose account or kind of server changes: its root secret is asked for again. */
export function isRootMoved({ kind, of, fields }: Change): boolean {
  return kind === 'change' && of === 'system' && fields.some(({ field }) => field === 'root.account' || field === 'connector')
}

/**
 * Parses and checks a fleet file, with every path made absolute. Throws `fleet_invalid` with every fault, `bad_input` if the folder
 * is not absolute.
 */
export function readFleet(targets: Targets, { text, folder }: FleetText): Fleet {
  if (!isAbsolute(folder)) throw new RekeyError('bad_input', 'The folder of the fleet file must be an absolute path.')
  const parsed = parseFleet(text, {
    knownConnector(name) {
      try {
        return targets.connectorFor(name).describe()
      } catch (error) {
        if (isCode(error, 'target_unsupported')) return null
        throw error
      }
    },
    checkAccount: (connector, name) => targets.connectorFor(connector).checkAccount(name),
  })
  const fleet = mapPaths(parsed, (path) => resolve(folder, path))
  const faults = fleet.credentials.flatMap(({ name, consumers }, i) => [
    ...(name.startsWith('root@')
      ? [{ path: `credentials[${i}].name`, message: `"${name}": names that begin with root@ are for the root credentials of systems.` }]
      : []),
    ...consumers.flatMap(({ file }, j) => (file && !isPlainPath(file.path) ? [pathFault(i, j, file.path)] : [])),
  ])
  throwFaults('fleet_invalid', 'The fleet file has faults; nothing was applied.', faults)
  return fleet
}

function isPlainPath(path: string): boolean {
  try {
    checkPath(path)
    return true
  } catch {
    return false
  }
}

const pathFault = (i: number, j: number, path: string) => ({
  path: `credentials[${i}].consumers[${j}].file.path`,
  message: `Not the path of a file: ${JSON.stringify(path)}`,
})

/** Throws with the faults, if there are any. */
export function throwFaults(code: 'fleet_invalid' | 'conflict', message: string, faults: NonNullable<RekeyError['faults']>): void {
  if (faults.length > 0) throw new RekeyError(code, message, { faults: faults.slice(0, 500) })
}

/**
 * Loads the stored inventory: four statements, whatever its size. Of identities only those that a fleet file declared, and those that
 * `fleet` names: what a directory manages is not missing from a file.
 */
export async function loadPresent(sql: Sql, fleet: Pick<Fleet, 'identities'> = { identities: [] }): Promise<Present> {
  const named = fleet.identities.map(({ name }) => name)
  const identities = await fleetIdentities(sql, named)
  const [systems, credentials, consumers] = [await allSystems(sql), await allCredentials(sql), await allConsumers(sql)]
  const identityNames = new Map(identities.map(({ id, name }) => [id, name]))
  const consumersOf = Map.groupBy(consumers, (row) => row.credential_id)
  const inventory: Inventory = {
    identities,
    systems: systems.map((row) => ({
      name: row.name,
      connector: row.connector,
      address: { host: row.host, port: row.port, database: row.database, tls: row.tls, caFile: row.ca_file },
      root: { account: row.root_account },
      limits: { concurrent: row.concurrent },
    })),
    credentials: credentials.map((row) => ({
      name: row.name,
      identity: identityNames.get(row.identity_id) ?? '',
      system: row.system,
      accounts: row.accounts,
      strategy: row.strategy,
      rotate: { everySeconds: row.every_seconds, graceSeconds: row.grace_seconds },
      consumers: (consumersOf.get(row.id) ?? []).map(consumerOf),
      live: row.live,
    })),
  }
  const byName = <Row extends { readonly name: string }>(rows: readonly Row[]) => new Map(rows.map((row) => [row.name, row]))
  return { inventory, systems: byName(systems), credentials: byName(credentials) }
}

function consumerOf({ name, file_path, file_key, activation }: ConsumerRow): Inventory['credentials'][number]['consumers'][number] {
  return { name, activation, file: file_path === null ? null : { path: file_path, key: file_key } }
}

/** What is between the stored inventory and the file. Pure. */
export function planOf({ inventory }: Present, fleet: Fleet): InventoryDiff {
  const changes = diffFleet(inventory, fleet)
  const count = (kind: Change['kind']) => changes.filter((change) => change.kind === kind).length
  const summary = {
    add: count('add'),
    change: count('change'),
    missing: count('missing-from-file'),
    refused: changes.filter(({ dangerous }) => dangerous).length,
  }
  const needed = neededBy(changes, fleet)
  const authorities = [...new Set(fleet.systems.flatMap(({ address }) => address.caFile ?? []))].sort()
  // JSON has no `undefined`: a field that an item did not have is left out.
  const plain = JSON.parse(JSON.stringify({ changes, needed })) as Json
  return { changes, summary, digest: digestHex(canonicalJson(plain)), needed, authorities }
}

function neededBy(changes: readonly Change[], fleet: Fleet): NeededSecret[] {
  const asking = new Set(changes.filter((change) => change.kind === 'add' || isRootMoved(change)).map(({ of, name }) => `${of}:${name}`))
  return [
    ...fleet.systems.map(({ name, root }) => ({ for: `system:${name}`, source: root.secret })),
    ...fleet.credentials.flatMap(({ name, current }) => (current === null ? [] : [{ for: `credential:${name}`, source: current }])),
  ].filter((secret) => asking.has(secret.for))
}

/**
 * What the file alone cannot show: accounts and files that items hold which are stored and not in the file, and relative paths that
 * turn out to be one file. `kept` are the stored items that stay beside those of the file.
 */
export function collisions(kept: Inventory, fleet: Fleet): { readonly path: string; readonly message: string }[] {
  const all = [...fleet.credentials, ...kept.credentials]
  const accounts = new Map<string, string>()
  const faults: { path: string; message: string }[] = []
  const roots = [...fleet.systems, ...kept.systems].map(
    ({ name, root }) => [name, [root.account], `the root credential of ${name}`] as const,
  )
  for (const [system, names, holder] of [...roots, ...all.map((it) => [it.system, it.accounts, it.name] as const)]) {
    for (const account of names) {
      const key = JSON.stringify([system, account])
      const other = accounts.get(key)
      if (other === undefined) accounts.set(key, holder)
      else faults.push({ path: holder, message: `The account "${account}" of ${system} is that of ${other} already.` })
    }
  }
  return [...faults, ...fileCollisions(all, fleet)]
}

function fileCollisions(all: readonly Inventory['credentials'][number][], fleet: Fleet): { path: string; message: string }[] {
  const files = new Map<string, Map<string | null, string>>()
  for (const { name, root } of fleet.systems) {
    if ('file' in root.secret) files.set(root.secret.file, new Map([[null, `the root secret of ${name}`]]))
  }
  const users = all.flatMap((credential) => credential.consumers.map(({ name, file }) => ({ who: `${name} of ${credential.name}`, file })))
  return users.flatMap(({ who, file }) => {
    if (file === null) return []
    const claims = files.get(file.path) ?? new Map<string | null, string>()
    files.set(file.path, claims)
    const other = claims.get(file.key) ?? claims.get(null) ?? (file.key === null ? claims.values().next().value : undefined)
    if (other === undefined) claims.set(file.key, who)
    return other === undefined ? [] : [{ path: who, message: `The file ${file.path} is already written for ${other}.` }]
  })
}

import { isAbsolute, resolve } from 'node:path'
import { canonicalJson } from '../evidence/index.ts'
import { fleetIdentities, identitiesById } from '../identity/index.ts'
import { type Ctx, isCode, type Json, mapInTurns, RekeyError } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { Guard } from './files.guard.ts'
import { checkPath } from './files.ts'
import { parseFleetApart } from './fleet.apart.ts'
import { type Change, diffFleet } from './fleet.diff.ts'
import { type Fleet, type FleetConsumer, type Inventory, mapPaths, type SecretSource } from './fleet.model.ts'
import type { LinedFleet } from './fleet.parse.ts'
import { allConsumers, allCredentials, allSystems, type ConsumerRow, type CredentialRow, type SystemRow } from './inventory.store.ts'
import type { RotationParts } from './rotation.run.ts'

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

/** What reading a fleet file needs of the process. */
export type Places = Pick<RotationParts, 'targets' | 'keepOut'>

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
  /** By the id of their credential. */
  readonly consumers: ReadonlyMap<string, readonly ConsumerRow[]>
}

/** A system whose account or kind of server changes: its root secret is asked for again. */
export function isRootMoved({ kind, of, fields }: Change): boolean {
  return kind === 'change' && of === 'system' && fields.some(({ field }) => field === 'root.account' || field === 'connector')
}

/**
 * Parses and checks a fleet file, with every path made absolute. Throws `fleet_invalid` with every fault, `bad_input` if the folder
 * is not absolute, and what `parseFleetApart` throws.
 */
export async function readFleet(ctx: Ctx, { targets, keepOut = [] }: Places, { text, folder }: FleetText): Promise<LinedFleet> {
  if (!isAbsolute(folder)) throw new RekeyError('bad_input', 'The folder of the fleet file must be an absolute path.')
  const { fleet: parsed, lines } = await parseFleetApart(ctx, text, {
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
  const places = await placeFaults(fleet, keepOut)
  const all = [...faults, ...places].map((fault) => ({ ...fault, line: lines.get(fault.path) }))
  throwFaults('fleet_invalid', 'The fleet file has faults; nothing was applied.', sortedByLine(all))
  return { fleet, lines }
}

/** Faults in the order of their lines; `undefined` is left out, as JSON would. */
function sortedByLine(faults: readonly Placed[]): NonNullable<RekeyError['faults']> {
  return [...faults]
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
    .map(({ line, ...fault }) => (line === undefined ? fault : { ...fault, line }))
}

/**
 * Consumers' files that this machine shows to be Rekey's own, or no files at all, however they are reached. Looked at again when they are
 * written, since folders change, and since the worker that writes may be elsewhere.
 */
async function placeFaults({ credentials }: Fleet, keepOut: readonly string[]): Promise<{ path: string; message: string }[]> {
  const guard = new Guard(keepOut)
  const faults: { path: string; message: string }[] = []
  for (const [i, { consumers }] of credentials.entries()) {
    for (const [j, { file }] of consumers.entries()) {
      if (file === null) continue
      const why = await guard.whyNotAt(file.path)
      if (why !== null)
        faults.push({ path: `credentials[${i}].consumers[${j}].file.path`, message: `${JSON.stringify(file.path)}: ${why}.` })
    }
  }
  return faults
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

/** A fault with the line of the file that it belongs to, if there is one. */
interface Placed {
  readonly path: string
  readonly message: string
  readonly line?: number | undefined
}

/** Throws with the faults, if there are any. */
export function throwFaults(code: 'fleet_invalid' | 'conflict', message: string, faults: NonNullable<RekeyError['faults']>): void {
  if (faults.length > 0) throw new RekeyError(code, message, { faults: faults.slice(0, 500) })
}

/**
 * Loads the stored inventory: at most five statements, whatever its size. Of identities only those that a fleet file declared, and those
 * that `fleet` names: what a directory manages is not missing from a file.
 */
export async function loadPresent(sql: Sql, fleet: Pick<Fleet, 'identities'> = { identities: [] }): Promise<Present> {
  const named = fleet.identities.map(({ name }) => name)
  const identities = await fleetIdentities(sql, named)
  const [systems, credentials, consumers] = [await allSystems(sql), await allCredentials(sql), await allConsumers(sql)]
  const known = new Map(identities.map((identity) => [identity.id, identity]))
  // A credential, or a consumer, may be of an identity that no fleet file declares.
  const used = [...credentials, ...consumers].flatMap(({ identity_id: id }) => (id === null || known.has(id) ? [] : [id]))
  const others = await identitiesById(sql, [...new Set(used)])
  const nameOf = (id: string) => (known.get(id) ?? others.get(id))?.name ?? ''
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
      identity: nameOf(row.identity_id),
      system: row.system,
      accounts: row.accounts,
      strategy: row.strategy,
      rotate: { everySeconds: row.every_seconds, graceSeconds: row.grace_seconds },
      consumers: (consumersOf.get(row.id) ?? []).map((consumer) => consumerOf(consumer, nameOf)),
      live: row.live,
      held: row.held,
    })),
  }
  const byName = <Row extends { readonly name: string }>(rows: readonly Row[]) => new Map(rows.map((row) => [row.name, row]))
  return { inventory, systems: byName(systems), credentials: byName(credentials), consumers: consumersOf }
}

function consumerOf(row: ConsumerRow, nameOf: (id: string) => string): FleetConsumer {
  const { name, file_path: path, file_key: key, activation, identity_id: id } = row
  return { name, identity: id === null ? null : nameOf(id), activation, file: path === null ? null : { path, key } }
}

/** What is between the stored inventory and the file: of equal ones always the same. */
export async function planOf({ clock }: Ctx, { inventory }: Present, fleet: Fleet): Promise<InventoryDiff> {
  const unknown = new Set(fleet.credentials.flatMap(({ name, current }) => (current === null ? [name] : [])))
  const changes = diffFleet(inventory, fleet).map((change) =>
    change.kind === 'add' && change.of === 'credential' ? { ...change, takeover: unknown.has(change.name) } : change,
  )
  const count = (kind: Change['kind']) => changes.filter((change) => change.kind === kind).length
  const summary = {
    add: count('add'),
    change: count('change'),
    missing: count('missing-from-file'),
    refused: changes.filter(({ dangerous }) => dangerous).length,
  }
  const needed = neededBy(changes, fleet)
  const authorities = [...new Set(fleet.systems.flatMap(({ address }) => address.caFile ?? []))].sort()
  // JSON has no `undefined`: a field that an item did not have is left out. Canonical JSON is one line, so what is joined stays apart.
  const lines = await mapInTurns(clock, [...changes, ...needed], (item) => canonicalJson(JSON.parse(JSON.stringify(item)) as Json))
  return { changes, summary, digest: digestHex(lines.join('\n')), needed, authorities }
}

function neededBy(changes: readonly Change[], fleet: Fleet): NeededSecret[] {
  const asking = new Set(changes.filter((change) => change.kind === 'add' || isRootMoved(change)).map(({ of, name }) => `${of}:${name}`))
  return [
    ...fleet.systems.map(({ name, root }) => ({ for: `system:${name}`, source: root.secret })),
    ...fleet.credentials.flatMap(({ name, current }) => (current === null ? [] : [{ for: `credential:${name}`, source: current }])),
  ].filter((secret) => asking.has(secret.for))
}

import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Permit, putIdentities } from '../identity/index.ts'
import { type Ctx, newId, RekeyError, type Secret } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import type { LinedFleet } from './fleet.parse.ts'
import { collisions, placesOf } from './inventory.clash.ts'
import { declare, declareNext, type Wanted } from './inventory.declare.ts'
import { eventsOf, renewedEvent, rootMovedEvent } from './inventory.events.ts'
import {
  type FleetText,
  type InventoryDiff,
  isRootMoved,
  loadPresent,
  type Present,
  planOf,
  readFleet,
  throwFaults,
} from './inventory.plan.ts'
import { keptBeside, type Looks, lookAtMissing, removeMissing } from './inventory.remove.ts'
import { checkSecrets, type SystemToWrite, systemsToWrite } from './inventory.secrets.ts'
import { metSystems, type Servers, serversOf, withMet } from './inventory.servers.ts'
import { escapes } from './inventory.standing.ts'
import * as rows from './inventory.store.ts'
import type { RotationParts } from './rotation.run.ts'
import { NUDGE } from './worker.channel.ts'

/** What the inventory needs of the process; `RotationParts` has all of it. */
export type InventoryParts = Pick<RotationParts, 'store' | 'keyring' | 'targets' | 'fingerprintKey' | 'keepOut'>

/** A fleet file to apply, with the diff that was agreed to and the secrets that it asked for. */
export interface ApplyInput extends FleetText {
  /** Of the diff that was shown. */
  readonly digest: string
  /** Remove what is stored and not in the file. */
  readonly prune: boolean
  /** By `system:<name>` and `credential:<name>`. Those that are not asked for are not looked at. */
  readonly secrets: ReadonlyMap<string, Secret>
  /** PEM text by the absolute path that the diff named. */
  readonly authorities: ReadonlyMap<string, string>
}

/** What was done. `removed` counts every item that went, consumers of a removed credential included. */
export interface Applied {
  readonly changes: readonly Change[]
  readonly applied: { readonly add: number; readonly change: number; readonly removed: number }
}

/**
 * What applying a fleet file would do. Nothing is changed and no system is contacted. Throws `fleet_invalid` with every fault,
 * `bad_input` for a folder that is not absolute, `too_large` for a file that takes more time or memory to read than one may.
 */
export async function diffInventory(
  parts: Pick<InventoryParts, 'store' | 'targets' | 'keepOut'>,
  ctx: Ctx,
  _may: Allowed<'inventory:read'>,
  input: FleetText,
): Promise<InventoryDiff> {
  const { fleet } = await readFleet(ctx, parts, input)
  return planOf(ctx, await loadPresent(parts.store, fleet), fleet)
}

/**
 * Applies a fleet file in one transaction, all of it or nothing. Applying it again changes and writes nothing.
 *
 * Names of systems that could be on one server are resolved, since an account of a server can be in the inventory once.
 * The secrets are taken as declared: no system is contacted to try them, so that a fleet can be applied while systems are down. The
 * first rotation (or `discoverAccounts`, for a root secret) shows whether they are right. Only removing asks systems, see
 * `lookAtMissing`.
 *
 * Identities are the directory's: who applies a file that would make, change or remove one needs `identity:join`, `identity:move` or
 * `identity:offboard` for it, which `permit` decides. Those that are on record as declared may be referred to by anybody who applies.
 *
 * Throws `fleet_invalid`; `forbidden`, with a fault for each identity; `too_large` as `diffInventory`; `plan_changed` if the inventory or
 * the file is not the one of the digest; `conflict`, with a fault for each, for changes that would cut off a living value, for accounts and
 * files that another item has, and for removals that are refused; `bad_input` naming the secret or the authority that is missing or
 * unusable.
 */
export async function applyInventory(
  parts: InventoryParts,
  ctx: Ctx,
  _may: Allowed<'inventory:apply'>,
  permit: Permit,
  input: ApplyInput,
): Promise<Applied> {
  const lined = await readFleet(ctx, parts, input)
  const { fleet } = lined
  const looks: Looks = input.prune ? await lookAtMissing(parts, ctx, await loadPresent(parts.store, fleet), fleet) : new Map()
  const stored = (await rows.allSystems(parts.store)).map(({ name, connector, host, port }) => ({
    name,
    connector,
    address: { host, port },
  }))
  const servers = await serversOf(ctx, [...stored, ...fleet.systems])
  return parts.store.inTx(async (tx) => {
    await rows.lockInventory(tx)
    const present = await loadPresent(tx, fleet)
    const plan = await planOf(ctx, present, fleet)
    if (plan.digest !== input.digest) {
      throw new RekeyError('plan_changed', 'The inventory or the file is not what the diff was made from.', {
        hint: 'Look at the diff again.',
      })
    }
    await refuse(tx, present, plan, lined, { servers, prune: input.prune })
    checkSecrets(plan.needed, input.secrets)
    const systems = systemsToWrite(ctx, present, plan.changes, fleet, input.authorities)
    const applied = { add: plan.summary.add, change: plan.summary.change, removed: input.prune ? plan.summary.missing : 0 }
    if (applied.add + applied.change + applied.removed + systems.length > 0) {
      await write(
        { parts, tx, ctx, permit, present, fleet, changes: plan.changes, systems, secrets: input.secrets },
        input.prune ? looks : null,
      )
      await append(tx, ctx, [{ log: 'credential', type: 'fleet.applied', subject: 'fleet', data: { ...applied, digest: plan.digest } }])
    }
    return { changes: plan.changes, applied }
  })
}

const BINDING: readonly string[] = ['system', 'strategy']

async function refuse(
  tx: Tx,
  present: Present,
  { changes }: InventoryDiff,
  lined: LinedFleet,
  { servers, prune }: { servers: Servers; prune: boolean },
): Promise<void> {
  const { fleet } = lined
  const lineOf = lineFinder(lined)
  const faults = changes.flatMap((change) => {
    // The diff refuses accounts that hold a value; those of a credential that is over stay as they are.
    const over = !present.credentials.get(change.name)?.live
    const isFixed = ({ field }: { field: string }) => BINDING.includes(field) || (over && field === 'accounts')
    const binding = change.kind === 'change' && change.of === 'credential' && change.fields.some(isFixed)
    const reason =
      change.reason ?? (binding ? 'account, system and strategy of a stored credential cannot change: give it another name' : null)
    return change.dangerous || binding ? [{ path: change.name, message: `${change.of} ${change.name}: ${reason}.`, ...lineOf(change) }] : []
  })
  throwFaults('conflict', 'The file asks for changes that are refused; nothing was applied.', [
    ...faults,
    ...onGivenUp(present, changes, fleet, lineOf),
    ...(await escapes(tx, present, { fleet, changes, prune }, lineOf)),
  ])
  const kept = keptBeside(present, fleet, prune)
  const met = metSystems(present.systems.values(), fleet)
  const clashes = collisions(kept, lined, { servers: withMet(servers, met), met, places: await placesOf(kept, fleet) })
  throwFaults('conflict', 'The file asks for what stored items hold; nothing was applied.', clashes)
}

/** A system that was given up takes nothing new, and does not come back by a change: it is pruned, and may then be declared anew. */
function onGivenUp(present: Present, changes: readonly Change[], fleet: Fleet, lineOf: LineFinder): NonNullable<RekeyError['faults']> {
  const systemOf = new Map(fleet.credentials.map(({ name, system }) => [name, system]))
  return changes.flatMap((change) => {
    const { kind, of, name } = change
    const changed = kind === 'change' && of === 'system' ? name : undefined
    const system = kind === 'add' && of === 'credential' ? systemOf.get(name) : changed
    if (system === undefined || !present.systems.get(system)?.decommissioned) return []
    return [{ path: name, message: `${of} ${name}: the system ${system} is decommissioned.`, ...lineOf(change) }]
  })
}

type LineFinder = (change: Change) => { line?: number }

/** Tells the line of the system, credential or consumer that a change is of. One look each, since all of a fleet may be refused. */
function lineFinder({ fleet, lines }: LinedFleet): LineFinder {
  const placesOf = (items: readonly { readonly name: string }[]) => new Map(items.map(({ name }, i) => [name, i]))
  const [systems, credentials] = [placesOf(fleet.systems), placesOf(fleet.credentials)]
  return ({ of, name, credential }) => {
    const at = of === 'system' ? `systems[${systems.get(name)}]` : `credentials[${credentials.get(credential ?? name)}]`
    const consumers = of === 'consumer' ? (fleet.credentials[credentials.get(credential ?? '') ?? -1]?.consumers ?? []) : []
    const nth = consumers.findIndex((consumer) => consumer.name === name)
    const place = `${at}.consumers[${nth}]`
    // A consumer that is not in the file is missed where its credential stands.
    const line = nth < 0 ? lines.get(`${at}.name`) : (lines.get(`${place}.identity`) ?? lines.get(`${place}.name`))
    return line === undefined ? {} : { line }
  }
}

interface Job {
  readonly parts: InventoryParts
  readonly tx: Tx
  readonly ctx: Ctx
  readonly permit: Permit
  readonly present: Present
  readonly fleet: Fleet
  readonly changes: readonly Change[]
  readonly systems: readonly SystemToWrite[]
  readonly secrets: ReadonlyMap<string, Secret>
}

/** Removals first, so that what they free can be taken; then what others refer to before what refers. Events in that order too. */
async function write(job: Job, looks: Looks | null): Promise<void> {
  const { parts, tx, ctx, permit, present, fleet, changes, systems } = job
  const kekId = await parts.keyring.pin(tx)
  if (looks !== null) await removeMissing(tx, ctx, permit, { present, changes, looks })
  const identities = await putIdentities(tx, ctx, permit, fleet.identities)
  await rows.insertSystems(
    tx,
    systems.flatMap(({ row, isNew }) => (isNew ? [row] : [])),
  )
  await rows.updateSystems(
    tx,
    systems.flatMap(({ row, isNew }) => (isNew ? [] : [row])),
  )
  const moved = await moveRoots(job)
  const systemIds = new Map([...present.systems.values(), ...systems.map(({ row }) => row)].map(({ name, id }) => [name, id]))
  const added = newCredentials(job, systemIds, identities)
  const declared = await declare(parts, ctx, kekId, added)
  await rows.insertCredentials(tx, declared.credentials)
  await rows.insertDeclared(tx, declared.versions)
  await updateCredentials(job, identities)
  await renameAccounts(job)
  const ids = new Map([...present.credentials.values(), ...declared.credentials].map(({ name, id }) => [name, id]))
  await putConsumers(job, ids, identities)
  const authorities = new Map(systems.map(({ row }) => [row.name, { before: present.systems.get(row.name)?.ca ?? null, after: row.ca }]))
  const idOf = (map: ReadonlyMap<string, string>) => (name: string) => map.get(name) ?? ''
  await append(tx, ctx, [
    ...eventsOf(changes, { system: idOf(systemIds), credential: idOf(ids) }, authorities),
    ...renewals(present, systems),
    ...moved,
    ...declared.events,
  ])
  await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
}

function renewals(present: Present, systems: readonly SystemToWrite[]): EvidenceEvent[] {
  return systems.flatMap(({ row, renewed }): EvidenceEvent[] => {
    const before = present.systems.get(row.name)?.ca ?? null
    return renewed ? [renewedEvent(row.name, row.id, row.ca_file, { before, after: row.ca })] : []
  })
}

/** New systems bring their root credential; new credentials their value in use, if the file says where it is. */
function newCredentials(job: Job, systemIds: ReadonlyMap<string, string>, identities: ReadonlyMap<string, string>): Wanted[] {
  const { fleet, changes, systems, secrets, parts } = job
  const added = new Set(changes.filter(({ kind, of }) => kind === 'add' && of === 'credential').map(({ name }) => name))
  const roots = systems.flatMap(({ row, isNew }): Wanted[] => {
    if (!isNew) return []
    const { rootStrategy: strategy } = parts.targets.connectorFor(row.connector).describe()
    const common = { name: `root@${row.name}`, system: row.id, identity: null, root: true, strategy, accounts: [row.root_account] }
    return [{ ...common, every: null, grace: 0, value: secrets.get(`system:${row.name}`) ?? null }]
  })
  const credentials = fleet.credentials.flatMap(({ name, system, identity, strategy, accounts, rotate, current }): Wanted[] => {
    if (!added.has(name)) return []
    const refers = { system: systemIds.get(system) ?? '', identity: identities.get(identity) ?? '' }
    const value = current === null ? null : (secrets.get(`credential:${name}`) ?? null)
    return [{ name, ...refers, root: false, strategy, accounts, every: rotate.everySeconds, grace: rotate.graceSeconds, value }]
  })
  return [...roots, ...credentials]
}

/** Systems whose root account changes: the new account's secret becomes the next version of the root credential. */
async function moveRoots({ parts, tx, ctx, present, changes, fleet, secrets }: Job): Promise<EvidenceEvent[]> {
  const moved = changes.filter(isRootMoved).flatMap(({ name }) => {
    const wanted = fleet.systems.find((system) => system.name === name)
    const id = present.systems.get(name)?.id
    return wanted && id ? [{ ...wanted, id }] : []
  })
  if (moved.length === 0) return []
  const roots = await rows.lockRoots(
    tx,
    moved.map(({ id }) => id),
  )
  throwFaults(
    'conflict',
    'A root credential is being rotated; nothing was applied.',
    roots
      .filter(({ rotating }) => rotating)
      .map(({ system_id }) => ({ message: `System ${moved.find(({ id }) => id === system_id)?.name}` })),
  )
  const events: EvidenceEvent[] = []
  const versions: rows.NewVersion[] = []
  const moves = []
  for (const system of moved) {
    const root = roots.find(({ system_id }) => system_id === system.id)
    const value = secrets.get(`system:${system.name}`)
    if (root === undefined || value === undefined) throw new RekeyError('internal', `The root credential of ${system.name} went missing.`)
    const account = system.root.account
    const strategy = parts.targets.connectorFor(system.connector).describe().rootStrategy
    moves.push({ id: root.id, account, strategy })
    events.push(rootMovedEvent(`root@${system.name}`, root, { accounts: [account], strategy }))
    const next = { name: `root@${system.name}`, credential: root.id, number: root.last_number + 1, account, value }
    const made = await declareNext(parts, ctx, tx, root, next)
    versions.push(made.version)
    events.push(made.event)
  }
  await rows.moveRoots(tx, moves)
  await rows.insertDeclared(tx, versions)
  return events
}

async function updateCredentials({ tx, present, changes, fleet }: Job, identities: ReadonlyMap<string, string>): Promise<void> {
  const changed = new Set(changes.filter(({ kind, of }) => kind === 'change' && of === 'credential').map(({ name }) => name))
  await rows.updateCredentials(
    tx,
    fleet.credentials.flatMap(({ name, identity, rotate }) => {
      const id = changed.has(name) ? present.credentials.get(name)?.id : undefined
      return id ? [{ id, identity: identities.get(identity) ?? '', every: rotate.everySeconds, grace: rotate.graceSeconds }] : []
    }),
  )
}

/** Only names that no system knows come here: `refuse` has let no other account go. */
async function renameAccounts({ tx, present, changes, fleet }: Job): Promise<void> {
  const renamed = new Set(
    changes.flatMap(({ kind, of, name, fields }) =>
      kind === 'change' && of === 'credential' && fields.some(({ field }) => field === 'accounts') ? [name] : [],
    ),
  )
  await rows.renameAccounts(
    tx,
    fleet.credentials.flatMap(({ name, accounts }) => {
      const id = renamed.has(name) ? present.credentials.get(name)?.id : undefined
      return id ? [{ id, accounts }] : []
    }),
  )
}

async function putConsumers(
  { ctx, tx, changes, fleet }: Job,
  ids: ReadonlyMap<string, string>,
  identities: ReadonlyMap<string, string>,
): Promise<void> {
  const touched = new Set(
    changes.flatMap(({ kind, of, name, credential }) => (of === 'consumer' && kind !== 'missing-from-file' ? [key(credential, name)] : [])),
  )
  await rows.putConsumers(
    tx,
    fleet.credentials.flatMap((credential) =>
      credential.consumers.flatMap(({ name, identity, file, activation }) => {
        if (!touched.has(key(credential.name, name))) return []
        const id = newId(ctx.clock.now().getTime())
        const places = { file_path: file?.path ?? null, file_key: file?.key ?? null }
        const refers = { credential_id: ids.get(credential.name) ?? '', identity_id: identity && (identities.get(identity) ?? '') }
        return [{ id, ...refers, name, ...places, activation }]
      }),
    ),
  )
}

const key = (credential: string | null, consumer: string) => JSON.stringify([credential, consumer])

import { isNoAccount, type Target } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Permit, removeIdentities } from '../identity/index.ts'
import { type Ctx, isCode, type Json, RekeyError } from '../kernel/index.ts'
import { open } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import { consumerEvent } from './inventory.events.ts'
import { type Present, throwFaults } from './inventory.plan.ts'
import * as rows from './inventory.remove.store.ts'
import { type CredentialRow, lockRoots, type SystemRow } from './inventory.store.ts'
import { systemForWork } from './inventory.system.ts'
import type { RotationParts } from './rotation.run.ts'
import { dataKeyBound, versionBound } from './targets.ts'

/**
 * What the system said about a credential that may be removed. `versions` are those that were looked at: if there is another one by
 * the time of the removal, the answer no longer counts. `alive` is the reason why it must stay; null: nothing of it can log in.
 */
export interface Look {
  readonly versions: readonly string[]
  readonly alive: string | null
  readonly proof: Record<string, Json>
}

export type Looks = ReadonlyMap<string, Look>

type Parts = Pick<RotationParts, 'store' | 'keyring' | 'targets'>

/**
 * Asks the systems about every stored credential that the file no longer has. A credential is not alive if no version of it could
 * authenticate (all dead, void or unprovable), or if its system shows so: each of its accounts is gone, and every value that Rekey
 * holds is refused, while the root credential is answered. An account that only may not log in at present still has its value, and a
 * system that does not answer proves nothing.
 */
export async function lookAtMissing(parts: Parts, ctx: Ctx, present: Present, fleet: Fleet): Promise<Looks> {
  const declared = new Set(fleet.credentials.map(({ name }) => name))
  const missing = [...present.credentials.values()].filter(({ name }) => !declared.has(name))
  const looks = new Map<string, Look>()
  for (const [system, credentials] of Map.groupBy(missing, (row) => row.system)) {
    for (const [id, look] of await lookAtSystem(parts, ctx, system, credentials)) looks.set(id, look)
  }
  return looks
}

async function lookAtSystem(parts: Parts, ctx: Ctx, system: string, credentials: readonly CredentialRow[]): Promise<Map<string, Look>> {
  const ids = credentials.map(({ id }) => id)
  const versions = Map.groupBy(await rows.aliveVersions(parts.store, ids), (row) => row.credential_id)
  const looks = new Map<string, Look>()
  for (const id of ids) if (!versions.has(id)) looks.set(id, { versions: [], alive: null, proof: {} })
  if (versions.size === 0) return looks
  const seen = await accountsOn(parts, ctx, system)
  const keys = new Map((await rows.wrappedKeys(parts.store, ids)).map((row) => [row.id, row]))
  for (const { id, accounts } of credentials) {
    const alive = versions.get(id)
    if (!alive) continue
    const look = { versions: alive.map((version) => version.id) }
    if ('problem' in seen) looks.set(id, { ...look, alive: seen.problem, proof: {} })
    else looks.set(id, { ...look, ...(await probeAll(parts, ctx, seen, accounts, alive, keys.get(id))) })
  }
  return looks
}

interface Seen {
  readonly target: Target
  readonly accounts: ReadonlySet<string>
  readonly at: Date
}

async function accountsOn(parts: Parts, ctx: Ctx, name: string): Promise<Seen | { readonly problem: string }> {
  try {
    const { system, root } = await systemForWork(parts.store, name)
    const target = await parts.targets.of(parts.store, system, root)
    const accounts = await target.discover(ctx)
    return { target, at: ctx.clock.now(), accounts: new Set(accounts.map((account) => account.name)) }
  } catch (error) {
    const asked = error instanceof RekeyError && error.code.startsWith('target_')
    if (!asked && !isCode(error, 'bad_input')) throw error
    return { problem: `${name} could not be asked: ${error.message.replace(/\.$/, '')}` }
  }
}

async function probeAll(
  parts: Parts,
  ctx: Ctx,
  seen: Seen,
  accounts: readonly string[],
  versions: readonly rows.AliveVersion[],
  key: { id: string; kek_id: string; wrapped_key: Uint8Array } | undefined,
): Promise<Pick<Look, 'alive' | 'proof'>> {
  const there = [...new Set([...accounts, ...versions.map(({ account }) => account)])].filter((account) => seen.accounts.has(account))
  if (there.length > 0) return { alive: `the account ${there.join(', ')} is still there`, proof: {} }
  const probes: Json[] = []
  for (const { number, account, sealed, id } of versions) {
    if (sealed === null || key === undefined) continue
    const dataKey = await parts.keyring.unwrap(parts.store, key.kek_id, key.wrapped_key, dataKeyBound(key.id))
    const { outcome, code } = await seen.target.probe(ctx, account, open(dataKey, sealed, versionBound(key.id, id)))
    // On MariaDB an account of the same name from another host answers: then the system's own word counts.
    const absent = outcome === 'inconclusive' && (await isAbsent(ctx, seen, account))
    if (outcome !== 'refused' && !absent) return { alive: `the login with version ${number} is ${outcome} (${code})`, proof: {} }
    probes.push({ version: number, account, outcome, code })
  }
  return { alive: null, proof: { at: seen.at.toISOString(), accountsGone: [...accounts], probes } }
}

async function isAbsent(ctx: Ctx, { target }: Seen, account: string): Promise<boolean> {
  return target.listGrants(ctx, account).then(() => false, isNoAccount)
}

/**
 * Removes what is stored and not in the file. Throws `conflict`, with the reason for each, if one of them is alive, is being rotated,
 * or is a system whose root value only Rekey knows; nothing is removed then. Resolves with how many items went.
 *
 * A system goes when no credential is left on it and its root value is the declared one, since whoever declared it still has it, or when
 * it was decommissioned. The account lives on; the event says so.
 */
export async function removeMissing(
  tx: Tx,
  ctx: Ctx,
  permit: Permit,
  { present, changes, looks }: { readonly present: Present; readonly changes: readonly Change[]; readonly looks: Looks },
): Promise<number> {
  const missing = changes.filter(({ kind }) => kind === 'missing-from-file')
  const named = (of: Change['of']) => missing.filter((change) => change.of === of).map(({ name }) => name)
  const credentials = named('credential').flatMap((name) => present.credentials.get(name) ?? [])
  const systems = named('system').flatMap((name) => present.systems.get(name) ?? [])
  const going = new Set(credentials)
  await refuseAlive(tx, credentials, looks)
  await rows.deleteCredentials(
    tx,
    credentials.map(({ id }) => id),
  )
  const consumers = missing.flatMap(({ of, name, credential }) => {
    const owner = of === 'consumer' && credential !== null ? present.credentials.get(credential) : undefined
    return owner && !going.has(owner) ? [{ name, credential: owner.name, credential_id: owner.id }] : []
  })
  await rows.deleteConsumers(tx, consumers)
  const events: EvidenceEvent[] = [
    ...consumers.map(({ name, credential, credential_id }) => consumerEvent(credential, credential_id, name, 'removed', [])),
    ...credentials.map(({ id, name }) => removed('credential', name, id, { proof: looks.get(id)?.proof ?? {} })),
  ]
  await removeSystems(tx, systems)
  events.push(
    ...systems.map(({ id, name, root_account, decommissioned }) =>
      removed('system', name, id, { root: { account: root_account, left: decommissioned ? 'given up' : 'as declared' } }),
    ),
  )
  await append(tx, ctx, events)
  await removeIdentities(tx, ctx, permit, named('identity'))
  return missing.length
}

function removed(noun: 'credential' | 'system', subject: string, id: string, data: Record<string, Json>): EvidenceEvent {
  return { log: 'credential', type: `${noun}.removed`, subject, links: { [noun]: id }, data }
}

async function refuseAlive(tx: Tx, credentials: readonly CredentialRow[], looks: Looks): Promise<void> {
  const ids = credentials.map(({ id }) => id)
  const rotating = new Set(await rows.lockCredentials(tx, ids))
  const now = Map.groupBy(await rows.aliveVersions(tx, ids), (row) => row.credential_id)
  const faults = credentials.flatMap(({ id, name }) => {
    const why = rotating.has(id) ? UNDER_WAY : stillAlive(looks.get(id), now.get(id) ?? [])
    return why === null ? [] : [{ path: name, message: `${name} cannot be removed: ${why}.` }]
  })
  const one = faults.length === 1 ? 'One credential is' : `${faults.length} credentials are`
  const then = rotating.size === faults.length ? 'End its rotation first' : 'Drop the account on the system first'
  throwFaults('conflict', `${one} alive; nothing was applied. ${then}.`, faults)
}

const UNDER_WAY = 'a rotation is under way (see rekey rotation list; rekey rotation undo takes it back)'

function stillAlive(look: Look | undefined, versions: readonly rows.AliveVersion[]): string | null {
  if (versions.length === 0) return null
  if (look === undefined || versions.some(({ id }) => !look.versions.includes(id))) return 'it changed meanwhile'
  return look.alive
}

async function removeSystems(tx: Tx, systems: readonly SystemRow[]): Promise<void> {
  if (systems.length === 0) return
  const ids = systems.map(({ id }) => id)
  const roots = await lockRoots(tx, ids)
  const inUse = await rows.credentialsOf(tx, ids)
  const faults = systems.flatMap(({ id, name, decommissioned }) => {
    const root = roots.find((row) => row.system_id === id)
    const why = inUse.has(id)
      ? 'credentials are left on it'
      : root?.rotating
        ? 'its root credential is being rotated'
        : root?.declared === false && !decommissioned
          ? 'Rekey holds the only copy of its root secret'
          : null
    return why === null ? [] : [{ path: name, message: `The system ${name} cannot be removed: ${why}.` }]
  })
  throwFaults('conflict', 'A system cannot be removed; nothing was applied.', faults)
  await rows.deleteCredentials(
    tx,
    roots.map(({ id }) => id),
  )
  await rows.deleteSystems(tx, ids)
}

/** What stays stored beside the items of the file: all that is missing from it, or nothing of that when pruning. */
export function keptBeside({ inventory }: Present, fleet: Fleet, prune: boolean): Present['inventory'] {
  const missing = <Item extends { readonly name: string }>(stored: readonly Item[], declared: readonly { readonly name: string }[]) => {
    const names = new Set(declared.map(({ name }) => name))
    return prune ? [] : stored.filter(({ name }) => !names.has(name))
  }
  return {
    systems: missing(inventory.systems, fleet.systems),
    identities: missing(inventory.identities, fleet.identities),
    credentials: [...missing(inventory.credentials, fleet.credentials), ...(prune ? [] : keptConsumers(inventory, fleet))],
  }
}

/** Consumers that are missing from a credential which the file still has, as a credential without accounts. */
function keptConsumers(inventory: Present['inventory'], fleet: Fleet): Present['inventory']['credentials'][number][] {
  const declared = new Map(fleet.credentials.map(({ name, consumers }) => [name, new Set(consumers.map((consumer) => consumer.name))]))
  return inventory.credentials.flatMap((credential) => {
    const names = declared.get(credential.name)
    const consumers = names ? credential.consumers.filter(({ name }) => !names.has(name)) : []
    return consumers.length === 0 ? [] : [{ ...credential, accounts: [], consumers }]
  })
}

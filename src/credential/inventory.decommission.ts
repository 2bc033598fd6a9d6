import type { Probe } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import { open } from '../seal/index.ts'
import * as rows from './inventory.decommission.store.ts'
import { throwFaults } from './inventory.plan.ts'
import { lockInventory } from './inventory.store.ts'
import { systemForWork } from './inventory.system.ts'
import { rotationDigests } from './record.ts'
import { noSystem, requireSystem } from './resources.ts'
import type { RotationParts } from './rotation.run.ts'
import { dataKeyBound, versionBound } from './targets.ts'

/** What giving up a system needs of the process. */
export type DecommissionParts = Pick<RotationParts, 'store' | 'keyring' | 'targets' | 'shredAfterSeconds'>

/** Why a system is given up. `unprovable`: also if nobody can prove that what is left on it is dead, because it does not answer. */
export interface DecommissionInput {
  readonly reason: string
  readonly unprovable: boolean
}

/** What was ended. */
export interface Decommissioned {
  /** Versions, roots left out, of which nobody can prove whether they are dead. */
  readonly notProvable: number
  /** Blocked rotations that ended `not_provable`. */
  readonly rotations: number
  /** What the system said to its root value: accepted values end `irrevocable`, all others `unprovable`. */
  readonly root: Probe['outcome']
}

/**
 * Gives up a system: nothing on it is rotated any more, and its root secret is destroyed after `shredAfterSeconds`. Throws `not_found`,
 * `wrong_state` if that was done before, `bad_input` without a reason, and `conflict` with a fault for each credential that is alive
 * and each rotation that has not ended. With `unprovable`, and only if the system does not answer at this moment, what is left ends as
 * not provable instead, blocked rotations too; the evidence names who said so and why.
 */
export async function decommissionSystem(
  parts: DecommissionParts,
  ctx: Ctx,
  may: Allowed<'system:decommission'>,
  name: string,
  input: DecommissionInput,
): Promise<Decommissioned> {
  if (input.reason.trim() === '') throw new RekeyError('bad_input', 'Giving up a system needs a reason.', { hint: 'Give --reason TEXT.' })
  requireSystem(may, name)
  const probe = await askRoot(parts, ctx, name)
  return parts.store.inTx(async (tx) => {
    await lockInventory(tx)
    const system = await rows.lockSystem(tx, name)
    if (system === null) throw noSystem(name)
    if (system.decommissioned) throw new RekeyError('wrong_state', `The system ${name} is decommissioned already.`)
    const rotations = await rows.liveRotations(tx, system.id)
    const remaining = await rows.remainingVersions(tx, system.id)
    refuse(name, probe, input, rotations, remaining)
    const rootEnd = probe.outcome === 'accepted' ? ('irrevocable' as const) : ('unprovable' as const)
    const versions = remaining.map((version) => ({ ...version, state: version.is_root ? rootEnd : ('unprovable' as const) }))
    const ids = rotations.map(({ id }) => id)
    const why = `the system was decommissioned: ${input.reason}`
    await rows.giveUp(tx, system.id, versions, ids, why, parts.shredAfterSeconds)
    const told = { notProvable: versions.filter(({ is_root }) => !is_root).length, rotations: ids.length, root: probe.outcome }
    const digests = await rotationDigests(tx, ids)
    const data = { ...told, ...input, root: { ...probe } }
    await append(tx, ctx, [
      ...rotations.map((rotation) => rotationEvent(system.id, rotation, why, digests.get(rotation.id) ?? null)),
      ...versions.map((version) => versionEvent(system.id, version, why)),
      { log: 'credential', type: 'system.decommissioned', subject: name, links: { system: system.id }, data },
    ])
    return told
  })
}

/** What the system says to the root value that Rekey holds. A value that is not held, or a place not allowed, says nothing. */
async function askRoot(parts: DecommissionParts, ctx: Ctx, name: string): Promise<Probe> {
  const { system, root } = await systemForWork(parts.store, name)
  const [version] = root.versions
  if (version === undefined) return { outcome: 'inconclusive', code: 'no_root_value' }
  try {
    const target = await parts.targets.of(parts.store, system, root)
    const key = await parts.keyring.unwrap(parts.store, root.kekId, root.wrappedKey, dataKeyBound(root.credentialId))
    return await target.probe(ctx, system.rootAccount, open(key, version.sealed, versionBound(root.credentialId, version.id)))
  } catch (error) {
    if (isCode(error, 'target_unreachable')) return { outcome: 'unreachable', code: error.detail || 'name' }
    if (error instanceof RekeyError && error.code.startsWith('target_')) return { outcome: 'inconclusive', code: error.code }
    throw error
  }
}

function refuse(
  name: string,
  probe: Probe,
  { unprovable }: DecommissionInput,
  rotations: readonly rows.LiveRotation[],
  remaining: readonly rows.Remaining[],
): void {
  const alive = remaining.filter(({ is_root }) => !is_root)
  const given = unprovable && probe.outcome === 'unreachable'
  const moving = given ? rotations.filter(({ state, held }) => state !== 'blocked' || held) : rotations
  const faults = [
    ...moving.map(({ credential, state }) => ({ path: credential, message: `A rotation is ${state}.` })),
    ...(given ? [] : alive.map((it) => ({ path: it.credential, message: `Version ${it.number} is ${it.state}.` }))),
  ]
  const said = probe.outcome === 'unreachable' ? 'does not answer' : `answers (its root login is ${probe.outcome})`
  const hint = unprovable
    ? `The system ${said}. What is alive is given up only if it does not answer, and rotations only if they are blocked.`
    : 'Drop the accounts and remove them with rekey apply --prune; for a system that is gone and does not answer say --unprovable.'
  throwFaults('conflict', `${name} cannot be decommissioned: something on it is alive or moves. ${hint}`, faults)
}

function rotationEvent(system: string, rotation: rows.LiveRotation, reason: string, digest: string | null): EvidenceEvent {
  const links = { credential: rotation.credential_id, rotation: rotation.id, system, from: rotation.old_version_id }
  return {
    log: 'credential',
    type: 'rotation.not_provable',
    subject: rotation.credential,
    links,
    data: { reason, stored: { rotation: digest, recheck: false } },
  }
}

function versionEvent(system: string, version: rows.Remaining & { state: string }, reason: string): EvidenceEvent {
  const type = version.state === 'unprovable' ? 'version.not_provable' : 'version.irrevocable'
  const links = { credential: version.credential_id, version: version.id, system }
  return { log: 'credential', type, subject: version.credential, links, data: { version: version.number, reason } }
}

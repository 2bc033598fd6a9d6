import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, nameKey, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { ownersOf, rememberOwners } from './behind.former.ts'
import {
  checkManager,
  classColumns,
  entitlementEvents,
  ialColumns,
  type JoinFields,
  keepExternalIds,
  labelEvents,
  refuseManagerCircle,
  refuseTaken,
} from './lifecycle.fields.ts'
import { handOverPerson, recordHandovers, securityHeir, settleHandovers } from './lifecycle.handover.ts'
import { identityEvent, ownerOf, recordResolved } from './lifecycle.owners.ts'
import {
  checkEntitlements,
  checkExternalIds,
  checkIdentityName,
  checkLabels,
  checkReason,
  checkText,
  type Entitlement,
  entitlementKey,
  type OwnerRef,
} from './record.model.ts'
import type { Row } from './record.store.ts'
import * as rows from './record.store.ts'
import { SECURITY_CONTACT } from './team.model.ts'
import { teamById, teamsByName, teamsWithPeople } from './team.store.ts'

/**
 * What changes of an identity. What is absent stays; null takes away; labels and entitlements are given whole. An external id of null
 * takes that source's id away.
 */
export interface MoveChange extends Partial<Omit<JoinFields, 'kind' | 'externalIds'>> {
  readonly externalIds?: readonly { readonly source: string; readonly id: string | null }[]
  /** Why, for the record. */
  readonly reason?: string
}

/**
 * A mover: changes what the record says of an identity (`identity.moved` if owner, tenancy, environment, manager or entitlements
 * change, else `identity.changed`). Changed entitlements are left as rows for whoever narrows or rotates credentials
 * (`dueEntitlements`). One that moves to another tenancy is owned there: by the owner that is given, else by the team of the same name
 * there that has people, else by the security contact, with a finding. A person who moves to another tenancy hands over what they own
 * in the one they leave. Resolves with whether anything changed. Throws `not_found`, `bad_input`, `conflict`; `wrong_state` if it is
 * offboarded.
 */
export async function moveIdentity(tx: Tx, ctx: Ctx, id: string, change: MoveChange): Promise<boolean> {
  await rows.lockRecord(tx, change.tenancy === undefined ? 'shared' : 'alone')
  if (change.name !== undefined) await rows.lockName(tx, change.name)
  const before = await rows.lockIdentity(tx, id)
  if (before === null) throw new RekeyError('not_found', `No such identity: ${id}`)
  if (before.status === 'offboarded') {
    throw new RekeyError('wrong_state', `${before.name} is offboarded: nothing of it changes any more.`)
  }
  const after = await columnsAfter(tx, before, change)
  const owned = before.kind === 'human' && before.tenancy !== after.tenancy
  if (owned) await handOverPerson(tx, ctx, before, 'moved', before.tenancy)
  const events = await writeExtra(tx, ctx, after, change)
  const facts = factChanges(before, after)
  const moved = events.some(({ type }) => type === 'identity.entitlements_changed') || MOVES.some((key) => key in facts.after)
  if (Object.keys(facts.after).length === 0 && events.length === 0) return false
  if ('owner' in facts.after || 'ownerPerson' in facts.after || 'ownerTeam' in facts.after || 'tenancy' in facts.after) {
    await rememberOwners(tx, ctx, await ownersOf(tx, { ids: [id] }))
  }
  await rows.updateRow(tx, after)
  await append(tx, ctx, [identityEvent(moved ? 'identity.moved' : 'identity.changed', after, { ...facts, ...reasonOf(change) }), ...events])
  await followTenancy(tx, ctx, before, after, change)
  if (change.owner !== undefined) await settleHandovers(tx, [id], ctx.clock.now())
  const renamed = change.name !== undefined && after.kind === 'human' ? [after.name] : []
  await recordResolved(tx, ctx, [...renamed, ...((after.owner_identity_id ?? after.owner_team_id) ? [] : [after.owner])])
  return true
}

const reasonOf = ({ reason }: MoveChange): Record<string, Json> => (reason === undefined ? {} : { reason: checkReason(reason) })

const MOVES = ['owner', 'ownerPerson', 'ownerTeam', 'tenancy', 'environment', 'manager']

async function columnsAfter(tx: Tx, before: Row, change: MoveChange): Promise<Row> {
  const { name, owner, purpose, environment, tenancy, source, manager, ial, recoveryClass } = change
  if (name !== undefined && name !== before.name) {
    checkIdentityName(name)
    await refuseTaken(tx, name, before.id)
  }
  const managerId = manager === undefined ? before.manager_id : await checkManager(tx, before.kind, before.id, manager)
  if (managerId !== null && managerId !== before.manager_id) await refuseManagerCircle(tx, before.id, managerId)
  return {
    ...before,
    name: name ?? before.name,
    name_key: nameKey(name ?? before.name),
    ...(owner === undefined ? {} : await ownerOf(tx, owner)),
    purpose: purpose === undefined ? before.purpose : checkText('purpose', purpose),
    environment: environment === undefined ? before.environment : checkText('environment', environment),
    tenancy: tenancy === undefined ? before.tenancy : checkText('tenancy', tenancy),
    source: source === undefined ? before.source : checkText('source', source),
    manager_id: managerId,
    ...(ial === undefined ? {} : ialColumns(before.kind, ial)),
    ...(recoveryClass === undefined ? {} : classColumns(recoveryClass)),
  }
}

function factChanges(before: Row, after: Row): { before: Record<string, Json>; after: Record<string, Json> } {
  const [old, now] = [rows.factsOf(before), rows.factsOf(after)]
  const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((key) => old[key] !== now[key])
  const of = (facts: Record<string, Json>) => Object.fromEntries(keys.map((key) => [key, facts[key] ?? null]))
  return { before: of(old), after: of(now) }
}

/** Writes what stands in tables of its own; resolves with the events of what differs. */
async function writeExtra(tx: Tx, ctx: Ctx, row: Row, change: MoveChange): Promise<EvidenceEvent[]> {
  const events: EvidenceEvent[] = []
  if (change.labels !== undefined) {
    const before = await rows.labelsOf(tx, row.id)
    const differ = labelEvents(row, before, checkLabels(change.labels))
    if (differ.length > 0) await rows.setLabels(tx, row.id, change.labels)
    events.push(...differ)
  }
  if (change.entitlements !== undefined) events.push(...(await changeEntitlements(tx, ctx, row, checkEntitlements(change.entitlements))))
  if (change.externalIds !== undefined) events.push(...(await changeExternalIds(tx, ctx, row, change.externalIds)))
  return events
}

async function changeEntitlements(tx: Tx, ctx: Ctx, row: Row, wanted: readonly Entitlement[]): Promise<EvidenceEvent[]> {
  const before = await rows.entitlementsOf(tx, row.id)
  const without = (all: readonly Entitlement[], minus: readonly Entitlement[]) => {
    const known = new Set(minus.map(entitlementKey))
    return all.filter((it) => !known.has(entitlementKey(it)))
  }
  const [added, removed] = [without(wanted, before), without(before, wanted)]
  const now = ctx.clock.now()
  await rows.dropEntitlements(tx, row.id, removed)
  await rows.addEntitlements(tx, row.id, added)
  await rows.queueEntitlements(tx, row.id, 'removed', removed, now)
  await rows.queueEntitlements(tx, row.id, 'added', added, now)
  return entitlementEvents(row, added, removed)
}

async function changeExternalIds(tx: Tx, ctx: Ctx, row: Row, wanted: NonNullable<MoveChange['externalIds']>): Promise<EvidenceEvent[]> {
  const before = new Map((await rows.externalIdsOf(tx, row.id)).map(({ source, id }) => [source, id]))
  const differ = wanted.filter(({ source, id }) => (before.get(source) ?? null) !== id)
  if (differ.length === 0) return []
  const added = checkExternalIds(differ.flatMap(({ source, id }) => (id === null ? [] : [{ source, id }])))
  await rows.dropExternalIds(
    tx,
    row.id,
    differ.map(({ source }) => source),
  )
  await keepExternalIds(tx, ctx, row.id, added)
  return [identityEvent('identity.external_ids_changed', row, { externalIds: differ.map(({ source, id }) => ({ source, id })) })]
}

/**
 * Takes away by which id a source knows an identity (`identity.external_ids_changed`), of one that is offboarded too. Resolves with whether
 * there was one. Throws `not_found`.
 */
export async function dropExternalId(tx: Tx, ctx: Ctx, id: string, source: string, reason: string): Promise<boolean> {
  await rows.lockRecord(tx, 'shared')
  const row = await rows.lockIdentity(tx, id)
  if (row === null) throw new RekeyError('not_found', `No such identity: ${id}`)
  const events = await changeExternalIds(tx, ctx, row, [{ source, id: null }])
  await append(
    tx,
    ctx,
    events.map((event) => ({ ...event, data: { ...event.data, reason: checkReason(reason) } })),
  )
  return events.length > 0
}

/** Ownership follows to another tenancy: an owner of the one that was left does not answer there. */
async function followTenancy(tx: Tx, ctx: Ctx, before: Row, after: Row, { owner }: MoveChange): Promise<void> {
  const former = ownerRef(after)
  if (before.tenancy === after.tenancy || owner !== undefined || former === null || former.id === after.id) return
  const [team, person] = [await teamById(tx, former.id), await rows.personById(tx, former.id)]
  const name = team?.name ?? person?.name ?? after.owner
  if (former.id === SECURITY_CONTACT || (team ?? person)?.tenancy === after.tenancy) return
  const there = team === null ? [] : (await teamsByName(tx, team.name)).filter(({ tenancy }) => tenancy === after.tenancy)
  const peopled = await teamsWithPeople(
    tx,
    there.map(({ id }) => id),
  )
  const same = there.find(({ id }) => peopled.has(id))
  const heir =
    same === undefined
      ? await securityHeir(tx)
      : { owner: { kind: 'team', id: same.id } as const, name: same.name, rule: 'same_name_team' as const }
  await rows.updateRow(tx, { ...after, ...rows.ownerColumns(heir.owner) })
  await recordHandovers(tx, ctx, [after], { owner: former, name }, heir, 'moved')
}

function ownerRef({ owner_identity_id, owner_team_id }: Row): OwnerRef | null {
  if (owner_identity_id !== null) return { kind: 'person', id: owner_identity_id }
  return owner_team_id === null ? null : { kind: 'team', id: owner_team_id }
}

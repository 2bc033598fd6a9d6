import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isCode, type Json, newId, RekeyError } from '../kernel/index.ts'
import type { Allowed, Resource } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import { hasRule } from './approval.rule.store.ts'
import { ownersOf, rememberOwners } from './behind.former.ts'
import { handOverPerson } from './lifecycle.handover.ts'
import { identityEvent, recordResolved } from './lifecycle.owners.ts'
import type { Identity, IdentityFields } from './model.ts'
import { DECLARED } from './record.model.ts'
import { lockIdentity, lockRecord } from './record.store.ts'
import * as rows from './store.ts'
import { keepOwned } from './team.emptied.ts'

const FIELDS = ['kind', 'owner', 'purpose', 'environment'] as const

/** Gives the permission for an action, or throws what refuses it. Asked only where something is to be done with it. */
export type Permit = <A extends 'identity:join' | 'identity:move' | 'identity:offboard'>(action: A) => Allowed<A>

/**
 * Adds the identities that are new by name and changes those that differ, in the caller's transaction, with an event for each
 * (`identity.added`, `identity.changed`, log identity). Those that are as given are left alone. Resolves with the id of every name
 * given. Names must differ from one another.
 *
 * Each that is new asks for `identity:join`, each that changes for `identity:move`, where it is and where it goes. Throws `forbidden` or
 * `step_up_required` with a fault for each that is refused.
 *
 * Owners are texts. One that names exactly one person or team of the tenancy is resolved (`identity.owner_resolved`), now or when such
 * a one joins; an owner that was handed over stays where it went until the text changes. Throws `conflict` if the kind of an identity
 * would change that somebody else than a fleet file says is there, or if one that somebody answers for would be left to a text that
 * names nobody, or if a new name folds like another (`nameKey`).
 */
export async function putIdentities(tx: Tx, ctx: Ctx, permit: Permit, wanted: readonly IdentityFields[]): Promise<Map<string, string>> {
  await lockRecord(tx, 'shared')
  const names = wanted.map(({ name }) => name)
  const present = new Map((await rows.lockIdentities(tx, names)).map((row) => [row.name, row]))
  const changes = wanted.flatMap((fields) => changeOf(ctx, present.get(fields.name), fields))
  refuseUnpermitted(permit, changes)
  const [added, changed] = [changes.filter(({ before }) => before === undefined), changes.filter(({ before }) => before !== undefined)]
  const answered = changed.flatMap(({ before, after }) => (before?.ownerId != null && before.owner !== after.owner ? [after.id] : []))
  if (added.length > 0) refuseAlike(await rows.insertIdentities(tx, added.map(afterOf)))
  // Nobody answers for a person as for a program: who calls it one gives it away too.
  const owned = changed.flatMap(({ before, after }) => (before?.owner === after.owner && before.kind === after.kind ? [] : [after.id]))
  if (owned.length > 0) await rememberOwners(tx, ctx, await ownersOf(tx, { ids: owned }))
  if (changed.length > 0) await rows.updateIdentities(tx, changed.map(afterOf))
  await append(
    tx,
    ctx,
    changes.map(({ before, after, fields }) =>
      eventOf(before === undefined ? 'identity.added' : 'identity.changed', after, changeData(before, after, fields)),
    ),
  )
  // Also texts that wait for one of the people who were just added.
  const people = added.filter(({ after }) => after.kind === 'human').map(({ after }) => after.name)
  await recordResolved(tx, ctx, [...people, ...changes.map(({ after }) => after.owner)])
  await refuseAbandoned(tx, answered)
  return new Map([...present.values(), ...changes.map(afterOf)].map(({ name, id }) => [name, id]))
}

/** Throws `conflict` for names that differ from others only in what `nameKey` leaves out. How those are written is not said. */
function refuseAlike(alike: readonly { readonly name: string }[]): void {
  const [first] = alike
  if (first === undefined) return
  throw new RekeyError('conflict', `There is an identity called ${first.name} already, perhaps in another spelling.`, {
    hint: 'Names stay taken after offboarding, and differ in more than upper and lower case.',
    faults: alike
      .slice(0, FAULTS_SHOWN)
      .map(({ name }) => ({ path: name, message: 'An identity is called so already, perhaps in another spelling.' })),
  })
}

interface Put {
  readonly before: rows.Present | undefined
  readonly after: Identity
  readonly fields: readonly (typeof FIELDS)[number][]
}

const afterOf = ({ after }: Put): Identity => after

function changeOf(ctx: Ctx, before: Put['before'], { name, kind, owner, purpose, environment }: IdentityFields): Put[] {
  const after = { id: before?.id ?? newId(ctx.clock.now().getTime()), name, kind, owner, purpose, environment }
  const fields = FIELDS.filter((field) => before?.[field] !== after[field])
  if (fields.length === 0) return []
  if (before !== undefined && before.source !== DECLARED && before.kind !== kind) {
    throw new RekeyError('conflict', `${name} comes from ${before.source}, which says that its kind is ${before.kind}.`)
  }
  return [{ before, after, fields }]
}

function resourceOf({ id, kind, environment, ownerId }: rows.Present): Resource {
  return { type: 'identity', id, kind, environment, owner: ownerId ?? undefined }
}

/** Every change that is not permitted is named, with the right that lacks. A login that proves too little is said as that. */
function refuseUnpermitted(permit: Permit, changes: readonly Put[]): void {
  const refused = changes.flatMap(({ before, after }) => {
    const { name, kind, environment } = after
    const action = before === undefined ? 'identity:join' : 'identity:move'
    const places = [...new Set([before?.environment ?? environment, environment])]
    const one = { type: 'identity', id: before?.id ?? 'new', kind: before?.kind ?? kind, owner: before?.ownerId ?? undefined } as const
    const may = places.every((place) => isPermitted(permit, action, { ...one, environment: place }))
    const words = before === undefined ? `would make the identity ${name}` : `would change the identity ${name}`
    return may ? [] : [{ path: name, message: `The file ${words}, and you may not do ${action}.` }]
  })
  throwUnpermitted(refused)
}

function isPermitted(permit: Permit, action: Parameters<Permit>[0], resource: Resource): boolean {
  try {
    permit(action).check(resource)
    return true
  } catch (error) {
    if (isCode(error, 'forbidden')) return false
    throw error
  }
}

function throwUnpermitted(refused: readonly { readonly path: string; readonly message: string }[]): void {
  const [first] = refused
  if (first === undefined) return
  throw new RekeyError(
    'forbidden',
    refused.length === 1 ? first.message : `${first.message} There are ${refused.length} such identities.`,
    {
      hint: 'Declare it as it is on record (rekey identity show), or have somebody who may make or change it: rekey identity join, move.',
      faults: refused.slice(0, FAULTS_SHOWN),
    },
  )
}

/** Faults of one refusal. */
const FAULTS_SHOWN = 100

/** Throws `conflict` if somebody answered for one of these, and now nobody does. */
async function refuseAbandoned(tx: Tx, answered: readonly string[]): Promise<void> {
  const still = new Set(await rows.answeredFor(tx, answered))
  const names = (
    await rows.identitiesById(
      tx,
      answered.filter((id) => !still.has(id)),
    )
  ).map(({ name, owner }) => ({ name, owner }))
  const [first] = names
  if (first === undefined) return
  throw new RekeyError('conflict', `${first.owner} names no one person or team: ${first.name} would be left without an owner.`, {
    hint: 'Write the name of exactly one person or team of its tenancy as its owner.',
    faults: names
      .slice(0, FAULTS_SHOWN)
      .map(({ name, owner }) => ({ path: name, message: `${name} has an owner, and ${owner} names no one person or team.` })),
  })
}

/** A removal is an end: nobody comes by it to what an offboarding would ask for. */
async function refuseEnds(tx: Tx, permit: Permit, names: readonly string[]): Promise<void> {
  const going = await rows.lockIdentities(tx, names)
  throwUnpermitted(
    going
      .filter((it) => !isPermitted(permit, 'identity:offboard', resourceOf(it)))
      .map(({ name }) => ({ path: name, message: `The identity ${name} would be removed, and you may not do identity:offboard.` })),
  )
  if (!(await hasRule(tx, 'identity:offboard'))) return
  const living = going.filter(({ status }) => status !== 'offboarded')
  if (living.length === 0) return
  throw new RekeyError('conflict', 'A rule asks for approval before an identity ends; a fleet file does not get round it.', {
    hint: 'Offboard it first: rekey identity offboard',
    faults: living.slice(0, FAULTS_SHOWN).map(({ name }) => ({ path: name, message: `The identity ${name} is not offboarded.` })),
  })
}

function changeData(before: Identity | undefined, after: Identity, fields: readonly (typeof FIELDS)[number][]): Record<string, Json> {
  const now = Object.fromEntries(fields.map((field) => [field, after[field]]))
  if (before === undefined) return now
  return { before: Object.fromEntries(fields.map((field) => [field, before[field]])), after: now }
}

function eventOf(type: string, { id, name }: Identity, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { identity: id }, data }
}

/**
 * Removes identities by name in the caller's transaction, with an event for each (`identity.removed`). Throws `not_found` if one is
 * missing, `database_failed` if a credential still names one: whoever calls removes those first. What a removed person owned is handed
 * over first, as by `offboardIdentity`. Each asks for `identity:offboard` (`forbidden`); where a rule asks for approval of that, only
 * those go that are offboarded already (`conflict`).
 */
export async function removeIdentities(tx: Tx, ctx: Ctx, permit: Permit, names: readonly string[]): Promise<void> {
  if (names.length === 0) return
  await lockRecord(tx, 'alone')
  await refuseEnds(tx, permit, names)
  for (const { id } of await rows.owningPeople(tx, names)) {
    const row = await lockIdentity(tx, id)
    if (row !== null) await handOverPerson(tx, ctx, row, 'removed')
  }
  const unmanaged = await rows.dropManagers(tx, names)
  await append(
    tx,
    ctx,
    unmanaged.map((row) => identityEvent('identity.changed', row, { after: { manager: null } })),
  )
  const removed = await keepOwned(tx, ctx, await rows.teamsOf(tx, names), () => rows.deleteIdentities(tx, names))
  const found = new Set(removed.map(({ name }) => name))
  const missing = names.filter((name) => !found.has(name))
  if (missing.length > 0) throw new RekeyError('not_found', `No such identity: ${missing.slice(0, 10).join(', ')}.`)
  await append(
    tx,
    ctx,
    removed.map((row) => eventOf('identity.removed', row, { kind: row.kind, owner: row.owner })),
  )
}

import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, newId, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { handOverPerson } from './lifecycle.handover.ts'
import { identityEvent, recordResolved } from './lifecycle.owners.ts'
import type { Identity, IdentityFields } from './model.ts'
import { DECLARED } from './record.model.ts'
import { lockIdentity, lockRecord } from './record.store.ts'
import * as rows from './store.ts'

const FIELDS = ['kind', 'owner', 'purpose', 'environment'] as const

/**
 * Adds the identities that are new by name and changes those that differ, in the caller's transaction, with an event for each
 * (`identity.added`, `identity.changed`, log identity). Those that are as given are left alone. Resolves with the id of every name
 * given. Names must differ from one another.
 *
 * Owners are texts. One that names exactly one person or team of the tenancy is resolved (`identity.owner_resolved`), now or when such
 * a one joins; an owner that was handed over stays where it went until the text changes. Throws `conflict` if the kind of an identity
 * would change that somebody else than a fleet file says is there.
 */
export async function putIdentities(tx: Tx, ctx: Ctx, wanted: readonly IdentityFields[]): Promise<Map<string, string>> {
  await lockRecord(tx, 'shared')
  const present = new Map<string, Identity & { readonly source: string }>(
    (
      await rows.lockIdentities(
        tx,
        wanted.map(({ name }) => name),
      )
    ).map((row) => [row.name, row]),
  )
  const added: Identity[] = []
  const changed: Identity[] = []
  const events: EvidenceEvent[] = []
  for (const { name, kind, owner, purpose, environment } of wanted) {
    const before = present.get(name)
    const source = before?.source ?? DECLARED
    const after = { id: before?.id ?? newId(ctx.clock.now().getTime()), name, kind, owner, purpose, environment, source }
    const fields = FIELDS.filter((field) => before?.[field] !== after[field])
    if (fields.length === 0) continue
    if (before !== undefined && source !== DECLARED && before.kind !== kind) {
      throw new RekeyError('conflict', `${name} comes from ${source}, which says that its kind is ${before.kind}.`)
    }
    ;(before === undefined ? added : changed).push(after)
    events.push(eventOf(before === undefined ? 'identity.added' : 'identity.changed', after, changeData(before, after, fields)))
    present.set(name, after)
  }
  if (added.length > 0) await rows.insertIdentities(tx, added)
  if (changed.length > 0) await rows.updateIdentities(tx, changed)
  await append(tx, ctx, events)
  // Also texts that wait for one of the people who were just added.
  const people = added.filter(({ kind }) => kind === 'human').map(({ name }) => name)
  await recordResolved(tx, ctx, [...people, ...added.map(({ owner }) => owner), ...changed.map(({ owner }) => owner)])
  return new Map([...present.values()].map(({ name, id }) => [name, id]))
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
 * over first, as by `offboardIdentity`.
 */
export async function removeIdentities(tx: Tx, ctx: Ctx, names: readonly string[]): Promise<void> {
  if (names.length === 0) return
  await lockRecord(tx, 'alone')
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
  const removed = await rows.deleteIdentities(tx, names)
  const found = new Set(removed.map(({ name }) => name))
  const missing = names.filter((name) => !found.has(name))
  if (missing.length > 0) throw new RekeyError('not_found', `No such identity: ${missing.slice(0, 10).join(', ')}.`)
  await append(
    tx,
    ctx,
    removed.map((row) => eventOf('identity.removed', row, { kind: row.kind, owner: row.owner })),
  )
}

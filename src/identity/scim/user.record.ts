/** A SCIM user and the identity behind it: joiner, mover, leaver. */
import { append, type EvidenceEvent } from '../../evidence/index.ts'
import { type Ctx, INVISIBLE, isId, type Json } from '../../kernel/index.ts'
import type { Tx } from '../../store/index.ts'
import { joinIdentity } from '../lifecycle.join.ts'
import { moveIdentity } from '../lifecycle.move.ts'
import { leaveIdentity, resumeUnlessBarred, suspendIdentity } from '../lifecycle.status.ts'
import { dropExternalIds, isManagedBy, labelsOf, nameTaken } from '../record.store.ts'
import { addTeamMembers } from '../team.actions.ts'
import { lockNesting } from '../team.store.ts'
import { isObject, type JsonObject } from './attribute.ts'
import type { ScimClient } from './provider.ts'
import { ENTERPRISE_URN } from './types.ts'
import type { UserRow } from './user.store.ts'
import * as rows from './user.store.ts'
import { managerOf, textOf } from './view.ts'
import { endWait } from './wait.ts'
import { watchWay } from './way.ts'

/** What the record has as the source of everything that a provider pushes. */
export function sourceOf({ provider }: Pick<ScimClient, 'provider'>): string {
  return `scim:${provider}`
}

/** The labels that are the provider's to set. Others are left alone. */
const LABELS: Readonly<Record<string, (resource: JsonObject) => string | null>> = {
  department: (resource) => {
    const enterprise = resource[ENTERPRISE_URN]
    return isObject(enterprise) ? textOf(enterprise, 'department') : null
  },
  'display-name': (resource) => {
    const { name } = resource
    return textOf(resource, 'displayName') ?? (isObject(name) ? textOf(name, 'formatted') : null)
  },
  title: (resource) => textOf(resource, 'title'),
}
const LABEL_CHARS = 200

/** A text as the record takes it: one line, composed, within bounds; null if nothing is left of it. */
function plain(text: string | null, chars: number): string | null {
  const line = (text ?? '').normalize('NFC').trim()
  const short = Array.from(line).slice(0, chars).join('').slice(0, chars).trim()
  return short === '' || INVISIBLE.test(short) ? null : short
}

function labelsFor(resource: JsonObject): Record<string, string | null> {
  return Object.fromEntries(Object.entries(LABELS).map(([key, of]) => [key, plain(of(resource), LABEL_CHARS)]))
}

const NAME_CHARS = 120

/**
 * A free name for the identity: the userName; where another identity has it, with the provider's name behind it. Names stay taken, so
 * who returns after the offboarding gets the next one. Never the name of somebody else: what belongs to a name belongs to one person.
 */
async function freeName(tx: Tx, client: ScimClient, userName: string, exceptId: string | null): Promise<string> {
  const base = userName.normalize('NFKC').trim()
  if (!isId(base.toLowerCase()) && (await nameTaken(tx, base, exceptId)) === null) return base
  const short = Array.from(base).slice(0, NAME_CHARS).join('').slice(0, NAME_CHARS).trim()
  const provider = client.provider.normalize('NFKC')
  for (let n = 1; ; n++) {
    const name = `${short} (${provider}${n === 1 ? '' : ` ${n}`})`
    if ((await nameTaken(tx, name, exceptId)) === null) return name
  }
}

/** The manager's identity, if the id that the provider wrote is one of its users, and none below `own`. */
async function managerIdentity(
  tx: Tx,
  client: ScimClient,
  resource: JsonObject,
  selfId: string,
  own: string | null,
): Promise<string | null> {
  const id = managerOf(resource)
  if (id === null || !isId(id) || id === selfId) return null
  const identity = (await rows.identitiesOfUsers(tx, client.providerId, [id])).get(id)
  if (identity === undefined) return null
  if ((await rows.statusOf(tx, identity)) === 'offboarded') return null
  // Two that are swapped come one after the other: refused, the provider would stop here. It reads back what it wrote; the record has none.
  if (own === null) return identity
  await lockNesting(tx)
  return (await isManagedBy(tx, identity, own)) ? null : identity
}

/** The provider's id of the person, if no other identity has it from there; else the SCIM id, which nobody else has. */
async function externalIdOf(tx: Tx, client: ScimClient, resource: JsonObject, userId: string, identityId: string | null): Promise<string> {
  const given = plain(textOf(resource, 'externalId'), 500)
  if (given === null || given !== textOf(resource, 'externalId')) return userId
  return (await rows.externalIdTaken(tx, sourceOf(client), given, identityId)) ? userId : given
}

/** A joiner: a new identity of kind human. Resolves with its id. */
export async function join(tx: Tx, ctx: Ctx, client: ScimClient, userId: string, resource: JsonObject): Promise<string> {
  const source = sourceOf(client)
  const labels = Object.entries(labelsFor(resource)).flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]))
  return joinIdentity(tx, ctx, {
    name: await freeName(tx, client, textOf(resource, 'userName') ?? userId, null),
    kind: 'human',
    tenancy: client.tenancy,
    source,
    externalIds: [{ source, id: await externalIdOf(tx, client, resource, userId, null) }],
    labels: Object.fromEntries(labels),
    manager: await managerIdentity(tx, client, resource, userId, null),
  })
}

/** A mover: hands on to the record what differs. An offboarded identity changes no more. */
export async function move(tx: Tx, ctx: Ctx, client: ScimClient, before: UserRow, after: JsonObject): Promise<void> {
  const differs = (of: (resource: JsonObject) => unknown) => JSON.stringify(of(before.resource)) !== JSON.stringify(of(after))
  const userName = (resource: JsonObject) => textOf(resource, 'userName')
  const changes = {
    name: differs(userName),
    labels: differs(labelsFor),
    manager: differs(managerOf),
    external: differs((resource) => textOf(resource, 'externalId')),
  }
  if (!Object.values(changes).includes(true)) return
  const { identity_id: identity } = before
  if ((await rows.statusOf(tx, identity)) === 'offboarded') return
  const source = sourceOf(client)
  await moveIdentity(tx, ctx, identity, {
    ...(changes.name ? { name: await freeName(tx, client, userName(after) ?? before.id, identity) } : {}),
    ...(changes.labels ? { labels: await mergedLabels(tx, identity, after) } : {}),
    ...(changes.manager ? { manager: await managerIdentity(tx, client, after, before.id, identity) } : {}),
    ...(changes.external ? { externalIds: [{ source, id: await externalIdOf(tx, client, after, before.id, identity) }] } : {}),
  })
}

async function mergedLabels(tx: Tx, identity: string, resource: JsonObject): Promise<Record<string, string>> {
  const all: Record<string, string | null> = { ...(await labelsOf(tx, identity)), ...labelsFor(resource) }
  return Object.fromEntries(Object.entries(all).flatMap(([key, value]) => (value === null ? [] : [[key, value]])))
}

/** What a change of `active` leaves behind. */
export type Standing = Pick<UserRow, 'identity_id' | 'active' | 'suspended' | 'offboard_at'>

/**
 * `active` as the provider says it now. False: suspended at once, offboarded after the delay. True: that is cancelled, and resumed what
 * this provider's word had suspended, unless a person keeps it out; after the offboarding it is a joiner, with a new identity that has
 * nothing of the old. The same as before, or no word at all: nothing.
 */
export async function settle(tx: Tx, ctx: Ctx, client: ScimClient, user: UserRow, active: boolean | null): Promise<Standing> {
  const { identity_id, suspended, offboard_at } = user
  if (active === null || active === user.active) return { identity_id, active, suspended, offboard_at }
  if (active === false) {
    const stopped = await stop(tx, ctx, client, user, suspendIdentity)
    return { identity_id, active, ...stopped }
  }
  if (offboard_at !== null) {
    await endWait(tx, ctx, user.id, `${client.provider} says active again.`)
    await append(tx, ctx, [eventOf('identity.offboarding_cancelled', client, user, { reason: 'The provider says active again.' })])
  }
  const status = await rows.statusOf(tx, identity_id)
  if (status === 'offboarded') {
    await release(tx, ctx, client, user)
    const fresh = await join(tx, ctx, client, user.id, user.resource)
    for (const team of await rows.groupIdsOf(tx, user.id)) await addTeamMembers(tx, ctx, team, { identities: [fresh] })
    return { identity_id: fresh, active, suspended: false, offboard_at: null }
  }
  if (status === 'suspended' && suspended) {
    await resumeUnlessBarred(tx, ctx, identity_id, `${client.provider} says active again.`)
  }
  return { identity_id, active, suspended: false, offboard_at: null }
}

/** The provider's id of the person is the new identity's from now on: a login that names it must not lead to the old one. */
async function release(tx: Tx, ctx: Ctx, client: ScimClient, user: UserRow): Promise<void> {
  const source = sourceOf(client)
  await dropExternalIds(tx, user.identity_id, [source])
  await append(tx, ctx, [eventOf('identity.external_ids_changed', client, user, { externalIds: [{ source, id: null }] })])
}

/** A leaver by DELETE: also hands over what the person owns. */
export async function leave(tx: Tx, ctx: Ctx, client: ScimClient, user: UserRow): Promise<Pick<Standing, 'suspended' | 'offboard_at'>> {
  const left = await stop(tx, ctx, client, user, leaveIdentity)
  // Who left before and was resumed by hand has nothing to hand over again, but stops all the same.
  if (left.offboard_at === null) return left
  await suspendIdentity(tx, ctx, user.identity_id, `${client.provider} deleted the user.`)
  // The provider's id of the person is free for the next one, who is not this identity.
  await moveIdentity(tx, ctx, user.identity_id, { externalIds: [{ source: sourceOf(client), id: null }] })
  return left
}

async function stop(tx: Tx, ctx: Ctx, client: ScimClient, user: UserRow, how: typeof suspendIdentity) {
  const { identity_id } = user
  const status = await rows.statusOf(tx, identity_id)
  if (status === 'offboarded') return { suspended: false, offboard_at: null }
  const reason = how === leaveIdentity ? `${client.provider} deleted the user.` : `${client.provider} says active is false.`
  await watchWay(tx, ctx, client, identity_id, () => how(tx, ctx, identity_id, reason))
  // An earlier date stands: a provider that repeats itself does not put the end off.
  const due = user.offboard_at ?? new Date(ctx.clock.now().getTime() + client.offboardAfterSeconds * 1000)
  if (user.offboard_at === null) {
    await rows.orderedBy(tx, user.id, client.tokenId)
    await append(tx, ctx, [eventOf('identity.offboarding_scheduled', client, user, { due: due.toISOString(), reason })])
  }
  return { suspended: status === 'active' || user.suspended, offboard_at: due }
}

function eventOf(type: string, client: ScimClient, user: UserRow, data: Record<string, Json>): EvidenceEvent {
  return {
    log: 'identity',
    type,
    subject: textOf(user.resource, 'userName') ?? user.id,
    links: { identity: user.identity_id, scim_provider: client.providerId, scim_user: user.id },
    data,
  }
}

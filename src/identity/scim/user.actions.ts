import { type Ctx, isId, type Json, newId } from '../../kernel/index.ts'
import type { Store, Tx } from '../../store/index.ts'
import { removeTeamMembers } from '../team.actions.ts'
import type { JsonObject } from './attribute.ts'
import { readResource } from './clean.ts'
import { isEqual } from './equal.ts'
import { notHere, ScimError } from './error.ts'
import { dropEverywhere, lockGroupsOf } from './group.store.ts'
import { applySteps, readPatch } from './patch.ts'
import type { ScimClient } from './provider.ts'
import { userCollection } from './search.store.ts'
import { USER } from './types.ts'
import { join, leave, move, settle } from './user.record.ts'
import type { ResourceRow, UserRow } from './user.store.ts'
import * as rows from './user.store.ts'
import { forgetUser, standsOtherwise, tellUser } from './user.told.ts'
import { userKeys } from './view.ts'
import { settleHands } from './way.ts'
import { checkVersion, writing } from './writing.ts'

/** Makes a user and the identity behind it (RFC 7644 section 3.3). Throws `ScimError`: 400, or 409 `uniqueness` for a taken userName. */
export async function createUser(store: Store, ctx: Ctx, client: ScimClient, body: Json): Promise<ResourceRow> {
  const read = readResource(USER, body)
  const resource: JsonObject = { ...read, active: read.active ?? true }
  const keys = userKeys(resource)
  return writing(store, async (tx) => {
    await refuseTaken(tx, client, keys.userNameKey, null)
    const now = ctx.clock.now()
    const id = newId(now.getTime())
    const identity_id = await join(tx, ctx, client, id, resource)
    mayChange(client, identity_id)
    const fresh: UserRow = {
      id,
      identity_id,
      active: true,
      suspended: false,
      resource,
      version: 1,
      created_at: now,
      changed_at: now,
      offboard_at: null,
      deleted_at: null,
    }
    const row = { ...fresh, ...(await settle(tx, ctx, client, fresh, resource.active === true)) }
    if (!(await rows.insertUser(tx, client.providerId, row, keys))) throw taken()
    await tellUser(tx, ctx, client.providerId, row, keys)
    return row
  })
}

/** The user; 404 for one that does not exist or is another provider's. */
export async function readUser(store: Store, client: ScimClient, id: string): Promise<ResourceRow> {
  const [row] = isId(id) ? await userCollection.byIds(store, client.providerId, [id]) : []
  if (row === undefined) throw notHere()
  return row
}

/**
 * Replaces what the provider wrote (section 3.5.1). `active` that is left out stays as it is: nobody is let in again by silence.
 */
export async function replaceUser(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  body: Json,
  ifMatch: string | null,
): Promise<ResourceRow> {
  const read = readResource(USER, body)
  return changeUser(store, ctx, client, id, ifMatch, ({ resource }) => ({
    ...(resource.active === undefined ? {} : { active: resource.active }),
    ...read,
  }))
}

/** Changes single attributes (section 3.5.2): all operations of the request, or none. */
export async function patchUser(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  body: Json,
  ifMatch: string | null,
): Promise<ResourceRow> {
  const steps = readPatch(USER, body)
  return changeUser(store, ctx, client, id, ifMatch, ({ resource }) => applySteps(USER, resource, steps))
}

async function changeUser(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  ifMatch: string | null,
  change: (row: UserRow) => JsonObject,
): Promise<ResourceRow> {
  if (!isId(id)) throw notHere()
  return writing(store, async (tx) => {
    const before = await rows.lockUser(tx, client.providerId, id)
    if (before === null) throw notHere()
    checkVersion(ifMatch, before.version)
    const resource = change(before)
    // Nothing differs: neither version nor time moves (section 3.5.2.1).
    if (isEqual(resource, before.resource)) return before
    mayChange(client, before.identity_id)
    const keys = userKeys(resource)
    await refuseTaken(tx, client, keys.userNameKey, id)
    const active = typeof resource.active === 'boolean' ? resource.active : null
    const standing = await settle(tx, ctx, client, { ...before, resource }, active)
    if (standing.identity_id === before.identity_id) await move(tx, ctx, client, before, resource)
    const after = { ...before, ...standing, resource, version: before.version + 1, changed_at: ctx.clock.now() }
    await rows.updateUser(tx, after, keys)
    const was = userKeys(before.resource)
    if (!isEqual(keys.emailKeys, was.emailKeys)) await rows.setEmails(tx, id, keys.emailKeys, after.changed_at)
    if (standsOtherwise(before, was, after, keys)) await tellUser(tx, ctx, client.providerId, after, keys)
    return after
  })
}

/** DELETE (section 3.6): the user is gone for its provider; the identity is suspended at once, and offboarded after the delay. */
export async function deleteUser(store: Store, ctx: Ctx, client: ScimClient, id: string, ifMatch: string | null): Promise<void> {
  if (!isId(id)) throw notHere()
  await writing(store, async (tx) => {
    const before = await rows.lockUser(tx, client.providerId, id)
    if (before === null) throw notHere()
    checkVersion(ifMatch, before.version)
    const now = ctx.clock.now()
    mayChange(client, before.identity_id)
    const groups = await lockGroupsOf(tx, id)
    await dropEverywhere(tx, id, groups, now)
    // First the record's leaver, who hands over to a team that the person is in; then out of the teams.
    const left = await leave(tx, ctx, client, before)
    for (const team of groups) {
      await removeTeamMembers(tx, ctx, team, { identities: [before.identity_id] })
      await settleHands(tx, team)
    }
    if (left.offboard_at === null) return forgetUser(tx, ctx, before)
    await rows.tombstone(tx, id, now, left.suspended, left.offboard_at)
    await tellUser(tx, ctx, client.providerId, { ...before, ...left, deleted_at: now }, userKeys(before.resource))
  })
}

/** A policy may take single identities out of a provider's reach. Throws `forbidden`. */
function mayChange({ may }: ScimClient, id: string): void {
  may.check({ type: 'identity', id, kind: 'human' })
}

async function refuseTaken(tx: Tx, client: ScimClient, key: string, exceptId: string | null): Promise<void> {
  if (await rows.userNameTaken(tx, client.providerId, key, exceptId)) throw taken()
}

function taken(): ScimError {
  return new ScimError(409, 'uniqueness', 'Another user has this userName.')
}

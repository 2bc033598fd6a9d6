import { type Ctx, isCode, isId, type Json } from '../../kernel/index.ts'
import { teamsNamed } from '../../policy/index.ts'
import type { Store, Tx } from '../../store/index.ts'
import { rulesAsking } from '../approval.rule.store.ts'
import { setInForce } from '../policyset.inforce.ts'
import { lockPolicies } from '../policyset.store.ts'
import { lockRecord } from '../record.store.ts'
import { rolesAround, rolesBoundTo } from '../role.store.ts'
import { addTeamMembers, keepTeam, putTeam, removeTeam, removeTeamMembers } from '../team.actions.ts'
import { keepOwned } from '../team.emptied.ts'
import type { AlsoOwned } from '../team.end.ts'
import { isArray, isObject, type JsonObject } from './attribute.ts'
import { finished, MEMBERS_MAX, readResource } from './clean.ts'
import { isEqual } from './equal.ts'
import { invalidValue, notHere, ScimError } from './error.ts'
import { type Change, changesOf, type Members } from './group.changes.ts'
import type { GroupRow } from './group.store.ts'
import * as rows from './group.store.ts'
import { applySteps, readPatch, type Step } from './patch.ts'
import type { ScimClient } from './provider.ts'
import { groupCollection } from './search.store.ts'
import { settleMakers } from './settle.ts'
import { GROUP } from './types.ts'
import { sourceOf } from './user.record.ts'
import { identitiesOfUsers } from './user.store.ts'
import { groupKeys, textOf } from './view.ts'
import { settleHands, watchTeam } from './way.ts'
import { checkVersion, writing } from './writing.ts'

/** Most members of one group. */
export const GROUP_MEMBERS_MAX = 100_000

/** Makes a group and the team behind it, under the team's own id. Throws `ScimError`. */
export async function createGroup(store: Store, ctx: Ctx, client: ScimClient, body: Json): Promise<GroupRow> {
  const { members, resource } = apart(readResource(GROUP, body))
  return writing(store, async (tx) => {
    const name = textOf(resource, 'displayName') ?? ''
    const id = await putTeam(tx, ctx, { source: sourceOf(client), name: name.normalize('NFC').trim(), tenancy: client.tenancy })
    client.may.check({ type: 'team', id })
    const now = ctx.clock.now()
    const fresh = { id, resource, version: 1, member_count: 0, created_at: now, changed_at: now }
    await rows.insertGroup(tx, client.providerId, fresh, groupKeys(resource))
    const count = await applyChanges(tx, ctx, client, fresh, members === null ? [] : [{ op: 'add', ids: members }])
    const row = { ...fresh, member_count: count.members }
    if (count.members > 0) await rows.updateGroup(tx, row, groupKeys(resource))
    return row
  })
}

/** The group; 404 for one that does not exist or is another provider's. */
export async function readGroup(store: Store, client: ScimClient, id: string): Promise<GroupRow> {
  const [row] = isId(id) ? await groupCollection.byIds(store, client.providerId, [id]) : []
  if (row === undefined) throw notHere()
  return row
}

/** Replaces what the provider wrote. Members that are left out stay: an absent list never means an empty one, `[]` does. */
export async function replaceGroup(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  body: Json,
  ifMatch: string | null,
): Promise<GroupRow> {
  const { members, resource } = apart(readResource(GROUP, body))
  const isNamed = isObject(body) && Object.keys(body).some((key) => key.toLowerCase() === 'members')
  const set: Change[] = isNamed ? [{ op: 'set', ids: members ?? [] }] : []
  return changeGroup(store, ctx, client, id, ifMatch, () => resource, set)
}

/** Changes a group: all operations of the request, or none. What it costs goes by the members named, not by those that there are. */
export async function patchGroup(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  body: Json,
  ifMatch: string | null,
): Promise<GroupRow> {
  const steps = readPatch(GROUP, body)
  const isOnMembers = ({ chain }: Step) => chain[0].name === 'members'
  const others = steps.filter((step) => !isOnMembers(step))
  return changeGroup(
    store,
    ctx,
    client,
    id,
    ifMatch,
    ({ resource }) => applySteps(GROUP, resource, others),
    changesOf(steps.filter(isOnMembers)),
  )
}

async function changeGroup(
  store: Store,
  ctx: Ctx,
  client: ScimClient,
  id: string,
  ifMatch: string | null,
  change: (row: GroupRow) => JsonObject,
  changes: readonly Change[],
): Promise<GroupRow> {
  if (!isId(id)) throw notHere()
  return writing(store, async (tx) => {
    const before = await rows.lockGroup(tx, client.providerId, id)
    if (before === null) throw notHere()
    checkVersion(ifMatch, before.version)
    client.may.check({ type: 'team', id })
    const resource = change(before)
    const name = textOf(resource, 'displayName') ?? ''
    const apply = () => applyChanges(tx, ctx, client, before, changes)
    // Before the name, which takes the record's lock: policies come first.
    const take = () => watchTeam(tx, ctx, client, { id, name }, () => keepOwned(tx, ctx, [id], apply))
    const count = await (changes.every(({ op }) => op === 'add') ? apply() : take())
    if (name !== textOf(before.resource, 'displayName')) await putTeam(tx, ctx, { id, name: name.normalize('NFC').trim() })
    if (!count.changed && isEqual(resource, before.resource)) return before
    const after = { ...before, resource, version: before.version + 1, member_count: count.members, changed_at: ctx.clock.now() }
    await rows.updateGroup(tx, after, groupKeys(resource))
    return after
  })
}

/** Which version is deleted, and what else may hold on to the team. */
export interface GroupEnd {
  readonly ifMatch: string | null
  readonly alsoOwned: AlsoOwned
}

/**
 * DELETE: the group and its team are gone; the people stay. A team that a rule asks, that holds a role or that a policy names is emptied
 * and kept instead (`keepTeam`): for the directory it is gone.
 */
export async function deleteGroup(store: Store, ctx: Ctx, client: ScimClient, id: string, { ifMatch, alsoOwned }: GroupEnd): Promise<void> {
  if (!isId(id)) throw notHere()
  await writing(store, async (tx) => {
    const before = await rows.lockGroup(tx, client.providerId, id)
    if (before === null) throw notHere()
    checkVersion(ifMatch, before.version)
    client.may.check({ type: 'team', id })
    await rows.dropEverywhere(tx, id, await rows.lockGroupsOf(tx, id), ctx.clock.now())
    await rows.dropGroup(tx, id)
    // The order of everybody who takes these: nothing comes to depend on the team meanwhile.
    await lockPolicies(tx)
    await lockRecord(tx, 'alone')
    const because = [...(await dependingOn(tx, id)), ...(await alsoOwned(tx, id))]
    const powerful = because.length > 0 || (await rolesAround(tx, id)).roles.length > 0
    const name = textOf(before.resource, 'displayName') ?? ''
    await watchTeam(tx, ctx, client, { id, name }, () =>
      because.length === 0 ? removeTeam(tx, ctx, id) : keepTeam(tx, ctx, id, client.provider, because),
    )
    if (powerful) await settleMakers(tx)
  })
}

/** What would go wrong without the team, in words. What it owns is none of it: that is handed over. */
async function dependingOn(tx: Tx, team: string): Promise<string[]> {
  const [rules, roles, set] = [await rulesAsking(tx, team), await rolesBoundTo(tx, 'team', team), await setInForce(tx)]
  return [
    ...(rules.length > 0 ? [`it approves ${rules.join(', ')}`] : []),
    ...(roles.length > 0 ? [`it holds roles: ${[...roles].sort().join(', ')}`] : []),
    ...(set !== null && teamsNamed(set.policies).has(team) ? ['policies name it'] : []),
  ]
}

/** Members apart from the rest: they have rows of their own. Null: none were given. */
function apart(read: JsonObject): { readonly members: Members | null; readonly resource: JsonObject } {
  const { members, ...resource } = read
  finished(GROUP, resource)
  if (!isArray(members)) return { members: null, resource }
  return { members: members.flatMap((member) => (isObject(member) ? (textOf(member, 'value') ?? []) : [])), resource }
}

interface Count {
  readonly members: number
  readonly changed: boolean
}

async function applyChanges(tx: Tx, ctx: Ctx, client: ScimClient, group: GroupRow, changes: readonly Change[]): Promise<Count> {
  let members = group.member_count
  let changed = false
  for (const change of changes) {
    const { added, removed } = await applyChange(tx, ctx, client, group.id, change)
    members += added - removed
    changed ||= added + removed > 0
    if (members > GROUP_MEMBERS_MAX) throw invalidValue(`A group has at most ${GROUP_MEMBERS_MAX} members.`)
  }
  return { members, changed }
}

interface Moved {
  readonly added: number
  readonly removed: number
}

async function applyChange(tx: Tx, ctx: Ctx, client: ScimClient, groupId: string, change: Change): Promise<Moved> {
  switch (change.op) {
    case 'add':
      return { added: await add(tx, ctx, client, groupId, change.ids), removed: 0 }
    case 'drop':
      return { added: 0, removed: await drop(tx, ctx, groupId, change.ids) }
    case 'set': {
      const wanted = new Set(change.ids)
      const present = await allMembers(tx, groupId)
      const gone = present.map((row) => row.member_id).filter((id) => !wanted.has(id))
      return { removed: await drop(tx, ctx, groupId, gone), added: await add(tx, ctx, client, groupId, change.ids) }
    }
    case 'choose': {
      const chosen = (await allMembers(tx, groupId)).filter(change.chooses).map((row) => row.member_id)
      if (chosen.length === 0 && change.with !== null) throw new ScimError(400, 'noTarget', 'No member is what the path chooses.')
      return { removed: await drop(tx, ctx, groupId, chosen), added: await add(tx, ctx, client, groupId, change.with ?? []) }
    }
  }
}

function allMembers(tx: Tx, groupId: string): Promise<rows.MemberRow[]> {
  return rows.membersOfGroups(tx, [groupId], null, GROUP_MEMBERS_MAX)
}

/** What is no id of this provider's users and groups is refused in the same words, whether it exists elsewhere or not. */
async function add(tx: Tx, ctx: Ctx, client: ScimClient, groupId: string, given: Members): Promise<number> {
  const ids = [...new Set(given)]
  if (ids.length === 0) return 0
  if (ids.length > MEMBERS_MAX) throw invalidValue(`At most ${MEMBERS_MAX} members can be named at once.`)
  if (!ids.every(isId)) throw noSuchMember()
  const users = await identitiesOfUsers(tx, client.providerId, ids)
  const others = ids.filter((id) => !users.has(id))
  const groups = await rows.knownGroups(tx, client.providerId, others)
  if (groups.length < others.length) throw noSuchMember()
  const fresh = await rows.addMembers(tx, groupId, [...users.keys()], groups)
  if (fresh.length === 0) return 0
  const identities = fresh.flatMap((id) => users.get(id) ?? [])
  const teams = fresh.filter((id) => !users.has(id))
  try {
    await addTeamMembers(tx, ctx, groupId, { identities, teams })
  } catch (error) {
    if (isCode(error, 'conflict')) throw invalidValue('A group cannot be a member of itself, directly or through others.')
    throw error
  }
  return fresh.length
}

function noSuchMember(): ScimError {
  return invalidValue('A member is no user or group of this provider.')
}

/** Who is no member is passed over: what is asked for is so already. */
async function drop(tx: Tx, ctx: Ctx, groupId: string, given: Members): Promise<number> {
  const ids = [...new Set(given.filter(isId))]
  if (ids.length === 0) return 0
  const gone = await rows.dropMembers(tx, groupId, ids)
  if (gone.length === 0) return 0
  const identities = gone.flatMap(({ identity_id }) => identity_id ?? [])
  const teams = gone.flatMap(({ member_id, identity_id }) => (identity_id === null ? [member_id] : []))
  await removeTeamMembers(tx, ctx, groupId, { identities, teams })
  await settleHands(tx, groupId)
  return gone.length
}

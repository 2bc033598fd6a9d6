import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, newId, RekeyError } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { ownersOf, rememberOwners } from './behind.former.ts'
import { handOverTeam } from './lifecycle.handover.ts'
import { recordResolved } from './lifecycle.owners.ts'
import { DEFAULT_TENANCY } from './record.model.ts'
import { lockRecord } from './record.store.ts'
import { keepOwned } from './team.emptied.ts'
import { BUILT_IN, checkMembers, checkTeam, type Members, SECURITY_CONTACT, type Team, type TeamFields } from './team.model.ts'
import * as rows from './team.store.ts'

/** Ids in one event: it stays far below the bound of an event's size. */
const IDS_AN_EVENT = 500

/**
 * Makes a team, or changes the name of the one that `id`, or source and external id, name (`team.created`, `team.changed`). Resolves
 * with its id, which never changes. Identities whose declared owner is a text of this name, in this tenancy, are then owned by it
 * (`identity.owner_resolved`). Throws `bad_input`; `not_found` for an unknown id.
 */
export async function putTeam(tx: Tx, ctx: Ctx, fields: TeamFields): Promise<string> {
  checkTeam(fields)
  await lockRecord(tx, 'shared')
  const found = await present(tx, fields)
  if (found === null) return makeTeam(tx, ctx, fields)
  if (found.name === fields.name) return found.id
  if (found.source === BUILT_IN) throw new RekeyError('wrong_state', 'This team belongs to Rekey; only its members can change.')
  await rows.renameTeam(tx, found.id, fields.name)
  await append(tx, ctx, [
    teamEvent('team.changed', { ...found, name: fields.name }, { before: { name: found.name }, after: { name: fields.name } }),
  ])
  await recordResolved(tx, ctx, [fields.name])
  return found.id
}

async function present(tx: Tx, { id, source, externalId }: TeamFields): Promise<Team | null> {
  if (id !== undefined) return (await rows.lockTeam(tx, id)) ?? noTeam(id)
  return source === undefined || externalId === undefined || externalId === null ? null : rows.teamByExternal(tx, source, externalId)
}

async function makeTeam(
  tx: Tx,
  ctx: Ctx,
  { name, source = 'api', externalId = null, tenancy = DEFAULT_TENANCY }: TeamFields,
): Promise<string> {
  const team = { id: newId(ctx.clock.now().getTime()), name, source, externalId, tenancy }
  if (!(await rows.insertTeam(tx, team))) {
    // Made at the same moment by another transaction.
    throw new RekeyError('conflict', 'This source has given this external id to a team already.', { hint: 'Try again.' })
  }
  await append(tx, ctx, [teamEvent('team.created', team, { tenancy, source, externalId })])
  await recordResolved(tx, ctx, [name])
  return team.id
}

/**
 * Takes a team away (`team.removed`). What it owned goes to the nearest team around it that has people, else to the security contact,
 * with a row in the list of handovers for each. `reason` is somebody's who does it by hand. Throws `not_found`; `wrong_state` for the
 * team that is always there.
 */
export async function removeTeam(tx: Tx, ctx: Ctx, id: string, reason?: string): Promise<void> {
  await lockRecord(tx, 'alone')
  await rows.lockNesting(tx)
  const team = (await rows.lockTeam(tx, id)) ?? noTeam(id)
  if (team.source === BUILT_IN) throw new RekeyError('wrong_state', 'This team belongs to Rekey and stays.')
  await emptied(tx, ctx, team, () => rows.deleteTeam(tx, id))
  await append(tx, ctx, [
    teamEvent('team.removed', team, { tenancy: team.tenancy, source: team.source, ...(reason !== undefined && { reason }) }),
  ])
}

/** Does `leave`, after which nobody is in it and it is in no team: what it owned, or teams that empty with it, is handed over. */
async function emptied(tx: Tx, ctx: Ctx, team: Team, leave: () => Promise<unknown>): Promise<void> {
  await rememberOwners(tx, ctx, await ownersOf(tx, { crews: [team.id] }))
  await handOverTeam(tx, ctx, team)
  const { parents } = await rows.around(tx, team.id)
  const around = parents.map((parent) => parent.id)
  await keepOwned(tx, ctx, around, leave)
}

/**
 * In place of removing it, takes a team away from the directory that deleted its group: what it owned is handed over as by `removeTeam`,
 * nobody is in it and it is in no team, and from now on it is kept by hand (`team.kept`). For what something depends on, `because` of
 * what: else a directory could make a rule that asks it one that nobody can meet. Throws `not_found`.
 */
export async function keepTeam(tx: Tx, ctx: Ctx, id: string, leftBy: string, because: readonly string[]): Promise<void> {
  await lockRecord(tx, 'alone')
  await rows.lockNesting(tx)
  const team = (await rows.lockTeam(tx, id)) ?? noTeam(id)
  await emptied(tx, ctx, team, () => rows.leaveTeam(tx, id, leftBy))
  await append(tx, ctx, [
    teamEvent('team.kept', team, { before: { source: team.source }, source: 'api', externalId: null, leftBy, because: [...because] }),
  ])
}

/**
 * Makes these the direct members, all of them (`team.members_changed`). The same again changes nothing. Throws `not_found` for a team or
 * a member that does not exist, `conflict` if a nested team would contain itself, `bad_input` for more than 20,000.
 */
export async function setTeamMembers(tx: Tx, ctx: Ctx, id: string, wanted: Members): Promise<void> {
  const next = checkMembers(wanted)
  await keepOwned(tx, ctx, [id], () => setMembers(tx, ctx, id, next))
}

async function setMembers(tx: Tx, ctx: Ctx, id: string, next: Required<Members>): Promise<void> {
  await begin(tx, id, next)
  const before = await rows.membersOf(tx, id)
  const without = (all: readonly string[], minus: readonly string[]) => {
    const known = new Set(minus)
    return all.filter((one) => !known.has(one))
  }
  const gone = { identities: without(before.identities, next.identities), teams: without(before.teams, next.teams) }
  const fresh = { identities: without(next.identities, before.identities), teams: without(next.teams, before.teams) }
  await change(tx, ctx, id, fresh, gone)
}

/** Adds direct members; those that are members stay so. Throws as `setTeamMembers`. */
export async function addTeamMembers(tx: Tx, ctx: Ctx, id: string, added: Members): Promise<void> {
  const members = checkMembers(added)
  await begin(tx, id, members)
  await change(tx, ctx, id, members, NOBODY)
}

/** Takes direct members out; those that are none are passed over. Throws `not_found` for a team that does not exist. */
export async function removeTeamMembers(tx: Tx, ctx: Ctx, id: string, removed: Members): Promise<void> {
  const members = checkMembers(removed)
  await begin(tx, id, NOBODY)
  await change(tx, ctx, id, NOBODY, members)
}

const NOBODY: Required<Members> = { identities: [], teams: [] }

async function begin(tx: Tx, id: string, added: Required<Members>): Promise<void> {
  await lockRecord(tx, 'shared')
  if (added.teams.length > 0) await rows.lockNesting(tx)
  // Writers of one team's members wait for one another, so that each event tells what its statement changed.
  if ((await rows.lockTeam(tx, id)) === null) noTeam(id)
}

async function change(tx: Tx, ctx: Ctx, id: string, added: Required<Members>, removed: Required<Members>): Promise<void> {
  const owners = await ownersOf(tx, { crews: [id] })
  const gone = await rows.dropMembers(tx, id, removed)
  await refuseStrangers(tx, added)
  if (added.teams.length > 0 && (await rows.wouldCircle(tx, id, added.teams))) {
    throw new RekeyError('conflict', 'A team cannot be nested in itself, directly or through others.')
  }
  const fresh = await rows.addMembers(tx, id, added)
  const lists = { added: fresh.identities, removed: gone.identities, addedTeams: fresh.teams, removedTeams: gone.teams }
  if (Object.values(lists).every((list) => list.length === 0)) return
  await rememberOwners(tx, ctx, owners)
  await rows.touchTeam(tx, id)
  const team = (await rows.teamById(tx, id)) ?? noTeam(id)
  await append(tx, ctx, memberEvents(team, lists))
}

async function refuseStrangers(tx: Tx, { identities, teams }: Required<Members>): Promise<void> {
  const known = new Set(await rows.knownIdentities(tx, identities))
  const unknown = identities.find((one) => !known.has(one))
  if (unknown !== undefined) throw new RekeyError('not_found', `No such identity: ${unknown}`)
  const there = new Set((await rows.teamsByIds(tx, teams)).map((team) => team.id))
  const missing = teams.find((one) => !there.has(one))
  if (missing !== undefined) noTeam(missing)
}

/** As many events as the bound of an event's size needs. */
function memberEvents(team: Pick<Team, 'id' | 'name'>, lists: Readonly<Record<string, readonly string[]>>): EvidenceEvent[] {
  const items = Object.entries(lists).flatMap(([list, ids]) => ids.map((id) => ({ list, id })))
  const events: EvidenceEvent[] = []
  for (let at = 0; at < items.length; at += IDS_AN_EVENT) {
    const part = Object.groupBy(items.slice(at, at + IDS_AN_EVENT), ({ list }) => list)
    const data = Object.fromEntries(Object.entries(part).map(([list, some]) => [list, (some ?? []).map(({ id }) => id)]))
    events.push(teamEvent('team.members_changed', team, data))
  }
  return events
}

function teamEvent(type: string, { id, name }: Pick<Team, 'id' | 'name'>, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { team: id }, data }
}

function noTeam(id: string): never {
  throw new RekeyError('not_found', `No such team: ${id}`)
}

/** Ids of the teams that an identity is in, directly or through nested teams. Empty for one that does not exist. */
export async function teamsOf(sql: Sql, identityId: string): Promise<string[]> {
  return (await rows.teamsAbove(sql, identityId)).map(({ id }) => id)
}

/** The active people of a team and of the teams nested in it, by name, each once. Empty for a team that does not exist. */
export async function peopleOf(sql: Sql, teamId: string): Promise<{ readonly id: string; readonly name: string }[]> {
  return rows.peopleBelow(sql, teamId)
}

/** A team by its id; null if there is none. */
export async function teamById(sql: Sql, id: string): Promise<Team | null> {
  return rows.teamById(sql, id)
}

/** The team that a source knows by this id; null if there is none. */
export async function teamByExternalId(sql: Sql, source: string, externalId: string): Promise<Team | null> {
  return rows.teamByExternal(sql, source, externalId)
}

/** The ids of a team's direct members. */
export async function membersOf(sql: Sql, teamId: string): Promise<Required<Members>> {
  return rows.membersOf(sql, teamId)
}

/** The team that answers for what nobody else does. */
export async function securityContact(sql: Sql): Promise<Team> {
  return (await rows.teamById(sql, SECURITY_CONTACT)) ?? noTeam(SECURITY_CONTACT)
}

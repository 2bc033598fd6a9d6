/** Members of teams by hand. Where a team holds roles, who changes its members gives or takes those. */
import { type Ctx, isCode, RekeyError, someOf } from '../kernel/index.ts'
import { type Allowed, type Policies, type Principal, teamsNamed } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { requireApproval, withApproval } from './approval.gate.ts'
import type { Approvable } from './approval.model.ts'
import { namesOf } from './approval.people.store.ts'
import { peopleThrough, quoted } from './approval.people.ts'
import { type Naming, namingBy, noIdentity } from './naming.ts'
import { lockPolicies } from './policyset.store.ts'
import type { RecordParts } from './record.actions.ts'
import { lightIdentities } from './record.list.ts'
import { lockRecord } from './record.store.ts'
import { requireOthers } from './role.behind.ts'
import { stayChangeable } from './role.changeable.ts'
import { type Force, keepApart, tellForced } from './role.hands.ts'
import { rolesAround } from './role.store.ts'
import { addTeamMembers, removeTeamMembers } from './team.actions.ts'
import { keepOwned } from './team.emptied.ts'
import { mineNamed, noTeam } from './team.list.ts'
import { BUILT_IN, type Members, type Team } from './team.model.ts'
import { teamById, teamsByIds } from './team.store.ts'

/** Who comes and who goes, directly; of a team that holds roles also why, and whether both hands may come together. */
export interface TeamChange extends Force {
  readonly add: Members
  readonly remove: Members
}

type Parts = RecordParts & { readonly policies: Policies }

/**
 * Adds and takes out direct members by hand. Throws as `setTeamMembers`, `not_found` also for members to add whom the asker may not name
 * (`namingBy`); `conflict` for a team whose members a directory gives: it would give them again.
 *
 * Where the team, or one that it is nested in, holds roles, members come to those: the asker must be able to bind roles too (`forbidden`),
 * adds neither themselves nor what is theirs (`forbidden`), and a rule on `role:bind` holds (`approval_required`). Nobody comes to hold
 * both hands unless it is forced (`wrong_state`; event `role.forced`). Where policies name such a team, that is so for who goes as well:
 * they may forbid. `wrong_state` too if nobody could change policy any more. What the team owns is handed over if nobody is left
 * who answers.
 */
export async function changeTeam(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'team:change'>,
  by: Principal,
  idOrName: string,
  change: TeamChange,
): Promise<Team> {
  const team = await mineNamed(parts.store, may, idOrName)
  if (team.source !== BUILT_IN && team.source !== 'api') {
    throw new RekeyError('conflict', `The members of this team come from ${team.source}.`, { hint: 'Change them there.' })
  }
  await withApproval(parts.store, ctx, by, async (tx) => {
    await lockPolicies(tx)
    await requireNamed(tx, namingBy(parts.policies, ctx, by), change.add)
    const power = await powerOf(tx, parts.policies, team.id)
    if (power === null) return move(tx, ctx, team.id, change)
    return moveHolders(tx, ctx, parts.policies, by, { team, power, change })
  })
  return (await teamById(parts.store, team.id)) ?? noTeam(idOrName)
}

/** Throws `not_found`, in the same words for what is not there and what the asker may not name. */
async function requireNamed(sql: Sql, naming: Naming, { identities = [], teams = [] }: Members): Promise<void> {
  const known = await lightIdentities(sql, identities)
  const stranger = identities.find((id) => !naming.identity(known.get(id) ?? null))
  if (stranger !== undefined) noIdentity(stranger)
  const there = new Set((await teamsByIds(sql, teams)).map(({ id }) => id))
  const missing = teams.find((id) => !there.has(id) || !naming.team(id))
  if (missing !== undefined) noTeam(missing)
}

async function move(tx: Tx, ctx: Ctx, team: string, { add, remove }: TeamChange): Promise<void> {
  if (isNobody(remove)) return addTeamMembers(tx, ctx, team, add)
  await keepOwned(tx, ctx, [team], async () => {
    await addTeamMembers(tx, ctx, team, add)
    await removeTeamMembers(tx, ctx, team, remove)
  })
}

/** What comes with being in a team. */
interface Power {
  /** By name. */
  readonly roles: readonly string[]
  /** A policy names the team, or one around it: being in it may give, and may forbid. */
  readonly named: boolean
}

async function powerOf(sql: Sql, { set }: Policies, team: string): Promise<Power | null> {
  const { roles, teams } = await rolesAround(sql, team)
  const inPolicies = teamsNamed(set.policies)
  const named = teams.some((id) => inPolicies.has(id))
  return roles.length === 0 && !named ? null : { roles, named }
}

interface Holders {
  readonly team: Team
  readonly power: Power
  readonly change: TeamChange
}

/** Locks, then changes, then looks at what came of it: what is refused, or waits for an approval, is undone with the transaction. */
async function moveHolders(tx: Tx, ctx: Ctx, policies: Policies, by: Principal, { team, power, change }: Holders): Promise<void> {
  const { add, remove } = change
  const gives = !isNobody(add) || (power.named && !isNobody(remove))
  if (gives) {
    requireBind(ctx, policies, by)
    const moved = power.named ? [add, remove] : [add]
    const those = { identities: moved.flatMap(({ identities = [] }) => identities), teams: moved.flatMap(({ teams = [] }) => teams) }
    await requireOthers(tx, by, those, 'Nobody puts themselves, or what is theirs, into a team that holds roles.')
  }
  // An approval is used up under this lock, and nothing weaker may be taken before it.
  await lockRecord(tx, 'alone')
  const { people } = await keepApart(tx, ctx, policies.set, change, () =>
    stayChangeable(tx, ctx, policies.set, () => move(tx, ctx, team.id, change)),
  )
  if (gives) await requireApproval(tx, ctx, await changeAsked(tx, { team, power, change }, people.length > 0))
  const links = { team: team.id }
  if (people.length > 0) await tellForced(tx, ctx, { subject: team.name, links, to: 'team', reason: change.reason }, people)
}

const isNobody = ({ identities = [], teams = [] }: Members) => identities.length + teams.length === 0

function requireBind(ctx: Ctx, policies: Policies, by: Principal): void {
  try {
    policies.allow(ctx, by, 'role:bind')
  } catch (error) {
    if (!isCode(error, 'forbidden')) throw error
    throw new RekeyError('forbidden', 'This team holds roles: who changes its members gives them, and you may not do role:bind.', {
      hint: 'Ask somebody who may do team:change and role:bind, or have the role bound to the person.',
    })
  }
}

/** Exactly these members, in words and as data. */
async function changeAsked(tx: Tx, { team, power, change }: Holders, both: boolean): Promise<Approvable> {
  const sorted = ({ identities = [], teams = [] }: Members) => ({ identities: [...identities].sort(), teams: [...teams].sort() })
  const [add, remove] = [sorted(change.add), sorted(change.remove)]
  const names = await namesAmong(tx, add, remove)
  const list = (verb: string, what: string, ids: readonly string[]) => (ids.length === 0 ? [] : [`${verb} ${what}: ${some(ids, names)}`])
  // Who is taken out of a team that a policy names gets what it forbids.
  const through = [...add.teams, ...(power.named ? remove.teams : [])]
  return {
    action: 'role:bind',
    subject: team.name,
    what: { team: team.id, roles: [...power.roles], add, remove, both, reason: change.reason },
    about: [add, ...(power.named ? [remove] : [])].flatMap(({ identities, teams }) => [...identities, ...teams]),
    words: [
      `Change who is in the team ${JSON.stringify(team.name)} (${team.id}).`,
      `It holds: ${power.roles.join(', ') || 'what policies give it'}.`,
      ...list('Add', 'identities', add.identities),
      ...list('Add', 'teams, with all who are in them', add.teams),
      ...list('Take out', 'identities', remove.identities),
      ...list('Take out', 'teams', remove.teams),
      ...(both ? ['Directory rights and credential rights then come together in one hand.'] : []),
      `Reason given: ${JSON.stringify(change.reason)}`,
    ].join('\n'),
    ...(through.length > 0 && { people: await peopleThrough(tx, through) }),
  }
}

/** Members in the words; the data has them all. */
const WORDS_IDS = 8

async function namesAmong(sql: Sql, ...lists: readonly Required<Members>[]): Promise<ReadonlyMap<string, string>> {
  const teams = await teamsByIds(
    sql,
    lists.flatMap((list) => list.teams),
  )
  const identities = await namesOf(
    sql,
    lists.flatMap((list) => list.identities),
  )
  return new Map([...identities, ...teams.map(({ id, name }) => [id, name] as const)])
}

function some(ids: readonly string[], names: ReadonlyMap<string, string>): string {
  const named = ids.map((id) => `${quoted(names.get(id) ?? '')} (${id})`)
  return someOf(named, WORDS_IDS)
}

/** Who holds what: which roles a set gives which rights, read off the policies themselves. */
import { ACTIONS, type Action, type Family, factsOf, groupsOf } from './actions.ts'
import { entitiesNamed, type PolicyJson, type Uid } from './cedar.ts'
import type { Holding, Principal } from './model.ts'
import type { Policy, PolicyFault } from './set.model.ts'

/** Characters of the reason for which a role may hold both hands. */
export const FORCED_REASON_CHARS = 10

/** Everybody whom no role is asked of: a policy that names no holder gives its rights to each role as well. */
const ANYBODY = 'anybody'

/** What every person has without any binding (`parentsOf` in engine.ts): whatever it gives comes to each other role, team and name. */
const EVERY_PERSON = 'Role::"self"'
const HANDS = ['directory', 'credential'] as const

/** One holder of rights and what it may at most do: conditions, and what forbids, are left out of account. */
export interface Holder {
  /** `Role::"operator"`, `Team::"…"`, `Person::"…"`, or `anybody`. */
  readonly name: string
  /** The role, if it is one. */
  readonly role: string | null
  /** The team, by its immutable id, if it is one; null too for what is no role and no team. */
  readonly team: string | null
  /** The person, program or token, by its id, if it is one. */
  readonly one: string | null
  readonly actions: ReadonlySet<Action>
  /** Families in which it may change something. */
  readonly families: ReadonlySet<Family>
  /** Why it holds both hands, as its policy says; null: it does not say. */
  readonly forced: string | null
  readonly policies: readonly Policy[]
}

/**
 * The holders that a set names, by name. An upper bound: what a role may do is never more than this. A policy whose scope names no
 * holder counts for every one, also if its conditions narrow it: conditions can say anything, and a bound must not believe them. So does,
 * for both hands, one for the role that every person has.
 */
export function holdersOf(policies: readonly Policy[]): Holder[] {
  const permits = policies.filter(({ json }) => json.effect === 'permit')
  const named = Map.groupBy(permits, ({ json }) => holderName(json))
  const everybodys = { actions: [], families: handsIn(named.get(EVERY_PERSON) ?? []) }
  const open = reachOf(named.get(ANYBODY) ?? [])
  return [...named]
    .map(([name, own]) => holder(name, own, name === ANYBODY ? [everybodys] : [open, everybodys]))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** What some policies let do, at most. */
interface Reach {
  readonly actions: Iterable<Action>
  readonly families: Iterable<Family>
}

/** Of so many policies that each is read once: all holders have what is open to anybody. */
function reachOf(policies: readonly Policy[]): Reach {
  const actions = new Set(policies.flatMap(({ json }) => actionsOf(json)))
  return { actions, families: familiesOf(actions) }
}

function holder(name: string, own: readonly Policy[], more: readonly Reach[]): Holder {
  const all = [reachOf(own), ...more]
  const actions = new Set(all.flatMap((reach) => [...reach.actions]))
  const families = new Set(all.flatMap((reach) => [...reach.families]))
  const forced = own.map(({ json }) => json.annotations?.forced).find((reason) => reason !== undefined) ?? null
  return { name, ...whoIs(name === ANYBODY ? undefined : own[0]?.json), actions, families, forced, policies: own }
}

/** Families in which actions change something. */
function familiesOf(actions: Iterable<Action>): Set<Family> {
  return new Set([...actions].flatMap((action) => (factsOf(action).reads ? [] : [factsOf(action).family])))
}

function handsIn(policies: readonly Policy[]): Hand[] {
  const families = new Set(reachOf(policies).families)
  return HANDS.filter((hand) => families.has(hand))
}

/** Whether rights of both hands come together: over who exists, and over what proof they can present. */
export function holdsBoth(families: ReadonlySet<Family>): boolean {
  return families.has('directory') && families.has('credential')
}

/** What is against the separation of directory and credential rights, and is not forced with a reason. */
export function separationFaults(policies: readonly Policy[]): PolicyFault[] {
  return holdersOf(policies).flatMap(({ name, actions, families, forced, policies: own }) => {
    const [first] = own
    if (!first) return []
    const at = { path: first.file, line: first.line }
    if (forced !== null && forced.trim().length < FORCED_REASON_CHARS) {
      return [{ ...at, message: `The reason in @forced has at least ${FORCED_REASON_CHARS} characters.` }]
    }
    if (!holdsBoth(families) || forced !== null) return []
    const how = holdsBoth(familiesOf(actions)) ? '' : ` together with what every person has (${EVERY_PERSON})`
    return [{ ...at, message: `${name} holds directory rights and credential rights${how}. Split it, or say why with @forced("…").` }]
  })
}

function holderName({ principal }: PolicyJson): string {
  const entity = scopeEntity(principal)
  return entity === null ? ANYBODY : `${entity.type}::${JSON.stringify(entity.id)}`
}

function whoIs(json: PolicyJson | undefined): Pick<Holder, 'role' | 'team' | 'one'> {
  const entity = json === undefined ? null : scopeEntity(json.principal)
  const { type = '', id = null } = entity ?? {}
  return { role: type === 'Role' ? id : null, team: type === 'Team' ? id : null, one: type === 'Role' || type === 'Team' ? null : id }
}

/** One of the two hands that are kept apart. */
export type Hand = 'directory' | 'credential'

/** What puts something into a hand: a role, a team that a policy names, or somebody whom a policy names. */
export interface Grip {
  readonly kind: 'role' | 'team' | 'one'
  readonly id: string
  readonly hand: Hand
}

/** Where a holder's rights are; null: with anybody. */
export function placeOf({ role, team, one }: Pick<Holder, 'role' | 'team' | 'one'>): Pick<Grip, 'kind' | 'id'> | null {
  if (role !== null) return { kind: 'role', id: role }
  if (team !== null) return { kind: 'team', id: team }
  return one === null ? null : { kind: 'one', id: one }
}

/** Every way by which a set puts directory rights or credential rights into a hand. What is open to anybody is in each. */
export function gripsOf(policies: readonly Policy[]): Grip[] {
  return holdersOf(policies).flatMap(({ role, team, one, families }) => {
    const place = placeOf({ role, team, one })
    return place === null ? [] : HANDS.filter((hand) => families.has(hand)).map((hand) => ({ ...place, hand }))
  })
}

/** Immutable ids of the teams that a set names anywhere: in what it permits, in what it forbids, and in conditions. */
export function teamsNamed(policies: readonly Policy[]): Set<string> {
  return new Set(policies.flatMap(({ json }) => entitiesNamed(json).flatMap(({ type, id }) => (type === 'Team' ? [id] : []))))
}

/** Which roles, teams and names of a set are of one hand only, by hand. One of both is there because its policy says why. */
export type OneHanded = Readonly<Record<Hand, ReadonlySet<string>>>

const keyOf = ({ kind, id }: Pick<Holding, 'kind' | 'id'>) => `${kind} ${id}`

/** Which roles, teams and names of a set are of one hand only, by hand. */
export function oneHanded(policies: readonly Policy[]): OneHanded {
  const grips = gripsOf(policies)
  const both = new Set(grips.filter(({ hand }) => hand === 'directory').map(keyOf))
  const of = (hand: Hand, other: ReadonlySet<string>) =>
    new Set(grips.flatMap((grip) => (grip.hand === hand && !other.has(keyOf(grip)) ? [keyOf(grip)] : [])))
  const credential = new Set(grips.filter(({ hand }) => hand === 'credential').map(keyOf))
  return { directory: of('directory', credential), credential: of('credential', both) }
}

/** Roles and teams of somebody that do not count. */
export interface Withheld {
  readonly roles: readonly string[]
  readonly teams: readonly string[]
}

const NOTHING: Withheld = { roles: [], teams: [] }

/**
 * Of what only a directory provider's word gives, what does not count, since with it a human would hold both hands whom nobody forced: what
 * is of a hand that the human does not hold by other things already, over all their identities and tokens.
 */
export function withheldFrom(
  hands: OneHanded,
  {
    id,
    roles,
    teams,
    provided = [],
    providedTeams = [],
    human = [],
  }: Pick<Principal, 'id' | 'roles' | 'teams' | 'provided' | 'providedTeams' | 'human'>,
): Withheld {
  if (provided.length === 0 && providedTeams.length === 0) return NOTHING
  const inHand = (hand: Hand, kind: Holding['kind'], one: string) => hands[hand].has(keyOf({ kind, id: one }))
  const inAny = (kind: Holding['kind']) => (one: string) => HANDS.some((hand) => inHand(hand, kind, one))
  // Nearly everybody: in groups of which no policy knows.
  if (!provided.some(inAny('role')) && !providedTeams.some(inAny('team'))) return NOTHING
  const all: readonly Holding[] = [
    { kind: 'one', id, own: true },
    ...roles.map((role) => ({ kind: 'role', id: role, own: !provided.includes(role) }) as const),
    ...teams.map((team) => ({ kind: 'team', id: team, own: !providedTeams.includes(team) }) as const),
    ...human,
  ]
  const has = (some: readonly Holding[], hand: Hand) => some.some((one) => inHand(hand, one.kind, one.id))
  const own = all.filter((one) => one.own)
  if (HANDS.every((hand) => has(own, hand)) || !HANDS.every((hand) => has(all, hand))) return NOTHING
  const wrong = HANDS.filter((hand) => !has(own, hand))
  const drop = (kind: Holding['kind'], some: readonly string[]) => some.filter((one) => wrong.some((hand) => inHand(hand, kind, one)))
  return { roles: drop('role', provided), teams: drop('team', providedTeams) }
}

/** The one entity that a scope asks the principal to be or to be in; null if it asks for none. */
function scopeEntity(principal: PolicyJson['principal']): Uid | null {
  const within = principal.op === 'is' ? principal.in : principal.op === 'All' ? undefined : principal
  return within !== undefined && 'entity' in within ? uidOf(within.entity) : null
}

function uidOf(entity: { type: string; id: string } | { __entity: { type: string; id: string } }): Uid {
  return '__entity' in entity ? entity.__entity : entity
}

/** Every action that the scope of a policy lets through. */
export function actionsOf({ action }: PolicyJson): readonly Action[] {
  if (action.op === 'All') return ACTIONS
  const named = 'entities' in action ? action.entities : 'entity' in action ? [action.entity] : []
  const names = new Set(named.map((entity) => uidOf(entity).id))
  return ACTIONS.filter((one) => groupsOf(one).some((group) => names.has(group)))
}

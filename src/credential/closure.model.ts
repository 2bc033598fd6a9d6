import type { ProbeOutcome } from '../connectors/contract.ts'
import type { VersionState } from './model.ts'
import { backoffMs, MAX_TRIES } from './rotation.model.ts'

/** What a closure is to come to. */
export const GOALS = ['suspend', 'resume', 'destroy'] as const
/** One of the goals. */
export type Goal = (typeof GOALS)[number]

/** How the credentials of one identity stand as a whole. The last three are ends. */
export const CLOSURE_STATES = [
  'suspending',
  'suspended',
  'resuming',
  'destroying',
  'waiting',
  'resumed',
  'closed',
  'closed_unproven',
] as const
/** One state of a closure. */
export type ClosureState = (typeof CLOSURE_STATES)[number]

/** Every state of one credential within a closure. The last five are ends. */
export const ITEM_STATES = [
  'planned',
  'rotating',
  'suspending',
  'suspended',
  'resuming',
  'destroying',
  'destroyed',
  'blocked',
  'handed_over',
  'resumed',
  'rotated',
  'proven_dead',
  'not_provable',
  'irrevocable',
] as const
/** One state of an item. */
export type ItemState = (typeof ITEM_STATES)[number]

/** States that a human brings back to where they came from, and where that may be. */
const GOES_ON = ['planned', 'rotating', 'suspending', 'suspended', 'resuming', 'destroying', 'destroyed'] as const

/**
 * What may follow what. Server, worker, command line and docs read this table; there is no other. Nothing reaches `proven_dead` but
 * through a suspension and a destruction, a destroyed one is never given back, and nothing leaves an end.
 * `handed_over` is no end: it waits for a named human (`retry`, or `irrevocable` by the human's word), or, where the system was away, for
 * the system to answer again (`lookPauseMs`).
 */
export const NEXT_ITEM: Readonly<Record<ItemState, readonly ItemState[]>> = {
  planned: ['suspending', 'rotating', 'resumed', 'blocked', 'handed_over'],
  rotating: ['rotated', 'not_provable', 'irrevocable', 'blocked', 'handed_over'],
  suspending: ['suspended', 'blocked', 'handed_over'],
  suspended: ['resuming', 'destroying', 'blocked', 'handed_over'],
  resuming: ['resumed', 'suspending', 'destroying', 'blocked', 'handed_over'],
  destroying: ['destroyed', 'blocked', 'handed_over'],
  destroyed: ['proven_dead', 'not_provable', 'blocked', 'handed_over'],
  blocked: [...GOES_ON, 'handed_over', 'irrevocable'],
  handed_over: [...GOES_ON, 'rotated', 'irrevocable'],
  resumed: [],
  rotated: [],
  proven_dead: [],
  not_provable: [],
  irrevocable: [],
}

/**
 * Why a closure has a credential: it is the identity's own; or it is somebody else's, and who leaves knows its value, because they consume
 * it or because a credential of theirs has the same one.
 */
export const RELATIONS = ['own', 'consumer', 'same_value'] as const
/** One of them. */
export type Relation = (typeof RELATIONS)[number]

/**
 * What may follow what of a credential that is somebody else's: it is rotated, and nothing of it is ever stopped or destroyed. It ends
 * `proven_dead` where the closure of whose it is has ended it meanwhile.
 */
const NEXT_OF_OTHERS: Readonly<Record<ItemState, readonly ItemState[]>> = {
  ...(Object.fromEntries(ITEM_STATES.map((state) => [state, []])) as unknown as Record<ItemState, readonly ItemState[]>),
  planned: ['rotating', 'blocked', 'handed_over'],
  rotating: ['rotated', 'proven_dead', 'not_provable', 'irrevocable', 'blocked', 'handed_over'],
  blocked: ['planned', 'rotating', 'handed_over', 'irrevocable'],
  handed_over: ['planned', 'rotating', 'rotated', 'proven_dead', 'irrevocable'],
}

/** The table of an item, by why the closure has it. */
export function nextItem(relation: Relation): Readonly<Record<ItemState, readonly ItemState[]>> {
  return relation === 'own' ? NEXT_ITEM : NEXT_OF_OTHERS
}

/** States that nothing leaves. */
export const ITEM_ENDS: readonly ItemState[] = ITEM_STATES.filter((state) => NEXT_ITEM[state].length === 0)
/** States that wait for a human. */
export const STUCK: readonly ItemState[] = ['blocked', 'handed_over']
/** Ends of a closure. */
export const CLOSURE_ENDS: readonly ClosureState[] = ['resumed', 'closed', 'closed_unproven']

/** What may follow what for the whole. It follows from its goal and its items (`closureStateOf`); this says what that can lead to. */
export const NEXT_CLOSURE: Readonly<Record<ClosureState, readonly ClosureState[]>> = {
  suspending: ['suspended', 'waiting', 'resuming', 'resumed', 'destroying', 'closed', 'closed_unproven'],
  suspended: ['suspending', 'waiting', 'resuming', 'resumed', 'destroying', 'closed', 'closed_unproven'],
  resuming: ['resumed', 'waiting', 'suspending', 'suspended', 'destroying', 'closed', 'closed_unproven'],
  destroying: ['waiting', 'closed', 'closed_unproven'],
  waiting: ['suspending', 'suspended', 'resuming', 'resumed', 'destroying', 'closed', 'closed_unproven'],
  resumed: [],
  closed: [],
  closed_unproven: [],
}

/** Which goal may replace which: nothing comes back from destruction. */
export function goalAfter(now: Goal, wanted: Goal): Goal {
  return now === 'destroy' ? 'destroy' : wanted
}

/** Code of what is with a human because a rotation that Rekey did not start for it is blocked: it goes on when that has ended. */
export const ROTATION_BLOCKED = 'rotation_blocked'

/** Code of what is with a human because another closure has stopped its logins: it goes on when they are given back, or ended. */
export const LOGINS_STOPPED = 'logins_stopped'

const FIRST_LOOK_MS = 60_000
const LONGEST_LOOK_MS = 15 * 60_000

/** Whether a fault says nothing but that the system was away. What it was said of is tried again by itself, in a human's hands too. */
export function isOutage(code: string | undefined): boolean {
  return code === 'target_unreachable' || code === 'unavailable'
}

/**
 * How long until Rekey itself looks whether the system answers again, after an outage made it give an item to a human: a minute, doubled
 * with each look since, at most 15 minutes; `jitter` in [0, 1) takes up to half away. It counts on over a system that comes and goes.
 */
export function lookPauseMs(looks: number, jitter: number): number {
  const full = Math.min(LONGEST_LOOK_MS, FIRST_LOOK_MS * 2 ** Math.min(10, Math.max(0, looks)))
  return Math.round(full * (1 - jitter / 2))
}

/** Faults that another try cannot mend are tried a few times all the same: a root credential may be rotated at this moment. */
const TRIES_IF_HOPELESS = 3
const HOPELESS: readonly string[] = ['target_not_authorised', 'target_conflict', 'target_unsupported', 'conflict', 'internal']

/** What a fault of a step makes of an item. */
export interface AfterFault {
  /** Null: it stays where it is. */
  readonly to: 'handed_over' | null
  readonly tries: number
  readonly looks: number
  /** Until it is tried again, or the system is looked at; null: not by itself. */
  readonly pauseMs: number | null
}

/**
 * What comes after a step has failed with `code`: another try after a pause, and after the last one a human, who has it until the cause is
 * gone. `cause` is what a human was told, if one has it.
 */
export function afterFault(
  at: { readonly state: ItemState; readonly tries: number; readonly looks: number; readonly cause: string | undefined },
  code: string,
  jitter: number,
): AfterFault {
  const { state, tries, looks } = at
  if (ITEM_ENDS.includes(state)) return { to: null, tries, looks, pauseMs: null }
  if (STUCK.includes(state)) {
    // A look that could not even be made is a look.
    if (state === 'handed_over' && isOutage(at.cause)) return { to: null, tries, looks: looks + 1, pauseMs: lookPauseMs(looks + 1, jitter) }
    return { to: null, tries, looks, pauseMs: null }
  }
  const most = HOPELESS.includes(code) ? TRIES_IF_HOPELESS : MAX_TRIES
  if (tries + 1 < most) return { to: null, tries: tries + 1, looks, pauseMs: backoffMs(tries + 1, jitter) }
  return { to: 'handed_over', tries: tries + 1, looks, pauseMs: isOutage(code) ? lookPauseMs(looks, jitter) : null }
}

/** What was known of a version before its account was touched. */
export interface VersionFacts {
  readonly state: VersionState
  /** How a login with it was answered then; missing: it was not tried. */
  readonly seen: ProbeOutcome | undefined
  /** It was not accepted then, and had been before at this address: a rotation took it away. */
  readonly workedBefore: boolean
}

/**
 * What a version is once its account is ended and a login with it refused. `dead`: it worked, and does not now. `void`: it was staged and
 * the system did not know it, while no rotation could install it any more. `unprovable`: all else; its refusal shows nothing.
 */
export function endOfVersion({ state, seen, workedBefore }: VersionFacts): 'dead' | 'void' | 'unprovable' {
  if (seen === 'accepted' || workedBefore) return 'dead'
  return state === 'staged' && seen === 'refused' ? 'void' : 'unprovable'
}

/** How many items are in each state. */
export type ItemCounts = Readonly<Partial<Record<ItemState, number>>>

/**
 * How a closure stands, by its goal and its items. What waits for a human is never an end, and an end is `closed` only if each item is
 * proven dead, rotated or given back before it was touched.
 */
export function closureStateOf(goal: Goal, counts: ItemCounts): ClosureState {
  const of = (states: readonly ItemState[]) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0)
  const stuck = of(STUCK)
  const still = goal === 'suspend' ? (counts.suspended ?? 0) : 0
  const open = of(ITEM_STATES.filter((state) => !ITEM_ENDS.includes(state)))
  if (open - stuck - still > 0) return goal === 'suspend' ? 'suspending' : goal === 'resume' ? 'resuming' : 'destroying'
  if (stuck > 0) return 'waiting'
  if (goal === 'suspend') return 'suspended'
  if (goal === 'resume') return 'resumed'
  return of(['not_provable', 'irrevocable']) > 0 ? 'closed_unproven' : 'closed'
}

/** How a credential is brought to its end: stopped and destroyed; rotated, because others use it; or given to a human. */
export type Way = 'suspend' | 'rotate' | 'hand_over'

/** What decides the way of one credential. */
export interface WayFacts {
  readonly decommissioned: boolean
  /** The system's connector can stop logins. */
  readonly canSuspend: boolean
  /** The connector can take a value away at all. */
  readonly canRevoke: boolean
  /** One of its accounts is the one with which Rekey drives a system at this address. */
  readonly drives: boolean
  /** Other credentials on the same account of the same server. */
  readonly sharedWith: readonly string[]
  /** Names of its consumers that are somebody else's, or nobody's that is known. */
  readonly others: readonly string[]
  /** Names of those who share it by an exception on record. */
  readonly users: readonly string[]
  /** Somebody said that it is to be ended for these too. */
  readonly forAll: boolean
}

/** The way and its reason in words; `consumers` are those of others. */
export interface WayChosen {
  readonly way: Way
  readonly why: string
  readonly consumers: readonly string[]
}

/** Why Rekey must leave a credential to a human, whosever it is; null: it need not. */
function whyHuman(facts: Pick<WayFacts, 'decommissioned' | 'drives' | 'sharedWith' | 'canRevoke'>): string | null {
  if (facts.decommissioned) return 'its system was given up'
  if (facts.drives) return 'its account is the one with which Rekey drives the system'
  if (facts.sharedWith.length > 0) return `its account is also that of ${facts.sharedWith.slice(0, 3).join(', ')}`
  return facts.canRevoke ? null : 'nobody can revoke it centrally'
}

/**
 * Chooses the way. Never one that could take a working credential from somebody else unless a human said so, nor from Rekey itself: to
 * rotate what nobody uses harms nobody, to destroy what others use does.
 */
export function wayFor(facts: WayFacts): WayChosen {
  const { others } = facts
  const give = (why: string): WayChosen => ({ way: 'hand_over', why, consumers: others })
  const human = whyHuman(facts)
  if (human !== null) return give(human)
  const users = [...new Set([...others, ...facts.users])]
  if (users.length > 0 && !facts.forAll) {
    // An exception says who shares it, and no file of theirs.
    const none = others.length === 0 ? '; nobody else on record has a file for it, so its new value goes into no file' : ''
    return { way: 'rotate', why: `also used by ${users.slice(0, 5).join(', ')}${none}`, consumers: users }
  }
  if (!facts.canSuspend) return give('logins of one account cannot be stopped on this system')
  if (users.length > 0) return { way: 'suspend', why: `to be ended also for ${users.slice(0, 5).join(', ')}`, consumers: users }
  return { way: 'suspend', why: 'used by nobody else', consumers: [] }
}

/**
 * The way of a credential that is somebody else's and of which who leaves knows the value; `because` says why they do. It is rotated, or a
 * human has it; nothing of it is stopped. Where nobody else on record uses it the new value goes into no file: whose it is may get it by
 * the next rotation, and the value that the leaver knows does not outlive them.
 */
export function wayOfOthers(facts: Omit<WayFacts, 'canSuspend' | 'forAll'>, because: string): WayChosen {
  const consumers = [...new Set([...facts.others, ...facts.users])]
  const human = whyHuman(facts)
  if (human !== null) return { way: 'hand_over', why: `${because}, and ${human}`, consumers }
  const alone = consumers.length === 0 ? '; nobody else on record uses it, so its new value goes into no file' : ''
  return { way: 'rotate', why: `${because}${alone}`, consumers }
}

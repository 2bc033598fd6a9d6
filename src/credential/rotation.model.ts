import type { Strategy } from '../connectors/contract.ts'

/** Every state of a rotation. The last five are ends. */
export const STATES = [
  'planned',
  'staged',
  'installed',
  'verified',
  'distributed',
  'activated',
  'retiring',
  'retired',
  'undoing',
  'blocked',
  'proven_dead',
  'not_provable',
  'irrevocable',
  'undone',
  'taken_over',
] as const
/** Where a rotation stands. */
export type State = (typeof STATES)[number]

/**
 * What may follow what. Server, worker, command line and docs read this table; there is no other.
 * Nothing reaches `proven_dead` but through every step before it, and nothing leaves an end.
 * `blocked` goes back to where it came from (`retry`), to `undoing` (`undone` at once, where nothing was made), or to a named end by a
 * human's word (`resolve`). `taken_over` ends it wherever it is: the closure of its identity destroys whatever the account has.
 */
export const NEXT: Readonly<Record<State, readonly State[]>> = {
  planned: ['staged', 'undone', 'blocked', 'taken_over'],
  staged: ['installed', 'undoing', 'blocked', 'taken_over'],
  installed: ['verified', 'undoing', 'blocked', 'taken_over'],
  verified: ['distributed', 'undoing', 'blocked', 'taken_over'],
  distributed: ['activated', 'undoing', 'blocked', 'taken_over'],
  activated: ['retiring', 'undoing', 'blocked', 'taken_over'],
  retiring: ['retired', 'irrevocable', 'blocked', 'taken_over'],
  retired: ['proven_dead', 'not_provable', 'irrevocable', 'blocked', 'taken_over'],
  undoing: ['undone', 'blocked', 'taken_over'],
  blocked: [
    'planned',
    'staged',
    'installed',
    'verified',
    'distributed',
    'activated',
    'retiring',
    'retired',
    'undoing',
    'undone',
    'not_provable',
    'irrevocable',
    'taken_over',
  ],
  proven_dead: [],
  not_provable: [],
  irrevocable: [],
  undone: [],
  taken_over: [],
}

/** States that nothing leaves. */
export const ENDS: readonly State[] = STATES.filter((state) => NEXT[state].length === 0)

/** States from which the old value can still be put back: everything before its retirement begins. */
export const UNDOABLE: readonly State[] = ['planned', 'staged', 'installed', 'verified', 'distributed', 'activated']

/** True if every move of the path is in the table. A path is what one transaction records when nothing has to be waited for. */
export function isPath(from: State, path: readonly State[]): boolean {
  return path.every((to, index) => NEXT[index === 0 ? from : (path[index - 1] ?? from)].includes(to))
}

/** How a strategy moves, as data. The steps read this and never the strategy's name. */
export interface StrategyPlan {
  /** The old value dies when the new one is installed: distribution is prepared before, and the gap is measured. */
  readonly oldDiesAtInstall: boolean
  /** The new value goes to the other account of the pair. */
  readonly otherAccount: boolean
  /** Both values are on the account for a while: retirement names the one to keep. */
  readonly bothOnAccount: boolean
  /** Which sessions end at retirement: those opened before the install, before the retirement, or every one of the old account. */
  readonly endsSessions: 'before_install' | 'before_retire' | 'all'
}

export const STRATEGIES: Readonly<Record<Strategy, StrategyPlan>> = {
  'in-place': { oldDiesAtInstall: true, otherAccount: false, bothOnAccount: false, endsSessions: 'before_install' },
  alternating: { oldDiesAtInstall: false, otherAccount: true, bothOnAccount: false, endsSessions: 'all' },
  dual: { oldDiesAtInstall: false, otherAccount: false, bothOnAccount: true, endsSessions: 'before_retire' },
}

/** The account that gets the new value: the other one of a pair, else the same. */
export function accountAfter(strategy: Strategy, accounts: readonly string[], now: string): string {
  if (!STRATEGIES[strategy].otherAccount) return now
  return accounts.find((account) => account !== now) ?? now
}

/** Tries before a rotation is blocked: with the pauses of `backoffMs` they span about two minutes, and more when every call times out. */
export const MAX_TRIES = 12
/** How often a value that the target's policy refuses is made anew in one rotation. */
export const MAX_REGENERATIONS = 3
/** How long required consumers may take to be seen with the new value before the rotation is blocked. */
export const ACTIVATION_PATIENCE_SECONDS = 600

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 30_000

/** Pause before try number `tries` (1 is the first repeat): doubling, at most 30 s, with `jitter` in [0, 1) taking up to half away. */
export function backoffMs(tries: number, jitter: number): number {
  const full = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, tries - 1))
  return Math.round(full * (1 - jitter / 2))
}

/** Pause before looking again whether consumers are activated: eager at first, then every two seconds. */
export function activationPauseMs(waitedMs: number): number {
  return Math.min(2_000, Math.max(100, waitedMs / 4))
}

/** The code with which a version's row says that its account does not exist, by the system's own word. */
export const ACCOUNT_ABSENT = 'account_absent'
/** Detail of the fault of an undo that came too late: the rotation is blocked as it was before, in `staged`, and can only go on. */
export const UNDO_TOO_LATE = 'undo_too_late'

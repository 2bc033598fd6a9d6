/**
 * Sets of policies inside transactions. There none is read: reading takes seconds, in a process of its own. What is not known yet ends the
 * transaction, is read outside of it, and everything is done again.
 */
import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import {
  type Action,
  type Ask,
  decideApart,
  defaultPolicies,
  HeldByTexts,
  inForce,
  knownPolicies,
  type Lane,
  onTrial,
  type PolicyFile,
  type PolicySet,
  type Principal,
  readAndAsk,
} from '../policy/index.ts'

/** More rounds than there are sets and questions in one use case; further ones are needed where others change them meanwhile. */
const ROUNDS = 8

/** Something must be found out before the transaction can go on. What `settle` resolves with is to be held until it did. */
class NotYet extends RekeyError {
  readonly settle: (ctx: Ctx) => Promise<object>
  constructor(settle: (ctx: Ctx) => Promise<object>) {
    super('unavailable', 'The policies are being read.', { hint: 'Try again in a moment.' })
    this.settle = settle
  }
}

/** A set that cannot be read, and why. */
interface Refusal {
  readonly files: readonly PolicyFile[]
  readonly error: RekeyError
}
const refusals = new HeldByTexts<Refusal>()

/**
 * Does `use`, again and again as long as it lacks a set or a decision of one (`readSet`, `decidesAll`), and finds out what it lacks in
 * between. `use` is a whole transaction, or reads only. Throws what reading throws beside `policy_invalid` and `bad_input`, which
 * `readSet` throws.
 */
export async function withSets<T>(ctx: Ctx, use: () => Promise<T>): Promise<T> {
  const held: object[] = []
  for (;;) {
    try {
      return await use()
    } catch (error) {
      if (!(error instanceof NotYet) || held.length >= ROUNDS) throw error
      held.push(await error.settle(ctx))
    }
  }
}

/**
 * A set that was read before. Throws as `readAndAsk`, once it is known; until then what makes `withSets` read it. `asks`: what
 * `decidesAll` is going to be asked of it, so that one process does both.
 */
export function readSet(files: readonly PolicyFile[], lane: Lane, asks: readonly Ask[] = []): PolicySet {
  const known = knownPolicies(files)
  if (known !== null) return known
  const refusal = refusals.find(files)
  if (refusal !== null) throw refusal.error
  throw new NotYet(async (ctx) => {
    try {
      const { set, answers } = await readAndAsk(ctx, files, asks, lane)
      keep(set, asks, answers)
      return set
    } catch (error) {
      if (!(error instanceof RekeyError) || !(isCode(error, 'policy_invalid') || isCode(error, 'bad_input'))) throw error
      return refusals.add({ files, error })
    }
  })
}

/** The same for what is or was in force: null for a set that this version cannot read. */
export function readOrNone(files: readonly PolicyFile[]): PolicySet | null {
  try {
    return readSet(files, 'in force')
  } catch (error) {
    if (isCode(error, 'policy_invalid') || isCode(error, 'bad_input')) return null
    throw error
  }
}

const decided = new WeakMap<PolicySet, Map<string, boolean>>()

/** Of those who ask only what counts: when they logged in is this moment for all. */
const keyOf = (ask: Ask) => JSON.stringify(ask, (name, value: unknown) => (name === 'authenticatedAt' ? value !== null : value))

function keep(set: PolicySet, asks: readonly Ask[], answers: readonly boolean[]): void {
  const known = decided.get(set) ?? new Map<string, boolean>()
  for (const [at, ask] of asks.entries()) known.set(keyOf(ask), answers[at] === true)
  decided.set(set, known)
}

/**
 * What a set lets everybody of a list do. The one in force, and the program's own, answer here; any other in a process of its own, under
 * `withSets`.
 */
export function decidesAll(ctx: Ctx, set: PolicySet, asks: readonly (readonly [Principal, Action])[]): boolean[] {
  if (inForce(set) !== null || set === defaultPolicies()) {
    return onTrial(set, (policies) => asks.map(([who, action]) => policies.explain(ctx, who, action).allowed))
  }
  const known = decided.get(set) ?? new Map<string, boolean>()
  const missing = asks.filter((ask) => !known.has(keyOf(ask)))
  if (missing.length > 0) {
    throw new NotYet(async (asking) => {
      keep(set, missing, await decideApart(asking, set, missing, 'proposed'))
      return set
    })
  }
  return asks.map((ask) => known.get(keyOf(ask)) === true)
}

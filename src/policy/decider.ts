/**
 * Decides by a whole set, also where one of its policies makes Cedar fail otherwise than by an answer: what that policy is not about goes
 * on being decided, without it. Bounds of depth, and the trial before a set comes into force, are to keep such a policy out; this is for
 * the one that they miss.
 */
import { isCode, systemClock } from '../kernel/index.ts'
import { isAction } from './actions.ts'
import { Bench } from './cedar.bench.ts'
import { FAILED, Prepared, type Texts } from './cedar.prepared.ts'
import type { PolicyJson, Question, Verdict } from './cedar.ts'
import { DEEP, treeLevels } from './depth.ts'
import { actionsOf } from './hands.ts'
import type { Policy } from './set.model.ts'

/** `isUnasked`: refused for the time being without having been decided, which is not to be remembered. */
export interface Answer extends Verdict {
  readonly isUnasked?: true
}

/** What is told to the log. */
export type Tell = (what: string, facts: Readonly<Record<string, unknown>>) => void

/** Policies of one set that are looked for one by one; after them, all that go as deep are set apart at once. Each takes some 200 ms. */
const SEARCHES_MAX = 3
/** For how long whoever made the engine fail is not asked about the same action any more. */
const PAUSE_MS = 60_000
const PAUSES_MAX = 1_000

export class Decider {
  readonly #bench: Bench
  readonly #prepared: Prepared
  #policies: readonly Policy[] = []
  #suspects: ReadonlySet<string> = new Set()
  #searches = 0
  #apart: Apart | null = null

  constructor(bench: Bench) {
    this.#bench = bench
    this.#prepared = new Prepared(bench)
  }

  /** Puts these policies in place of those before; they must be valid. If it throws, those before decide on. */
  replace(policies: readonly Policy[]): void {
    this.#prepared.replace(textsOf(policies))
    this.#policies = policies
    this.#suspects = new Set()
    this.#searches = 0
    this.#apart = null
  }

  /** Whether questions can be answered; a damaged instance is replaced for that. */
  isWhole(): boolean {
    return this.#prepared.isWhole()
  }

  /**
   * The decision by all policies. Where one makes the engine fail at the question, or would have to be asked too often to find out, it is
   * refused. Throws `unavailable` where the engine fails on and on for another reason than a policy.
   */
  ask(question: Question, tell: Tell): Answer {
    for (;;) {
      let damages = 0
      const verdict = this.#prepared.tryAsk(question, 2, (why) => {
        damages++
        tell('the engine that decides failed, and is made anew', { why })
      })
      if (verdict !== null) return verdict.policies.some((id) => this.#suspects.has(id)) ? this.#askApart(question, tell) : verdict
      const found = this.#search(question)
      if (found.length === 0) return FAILED
      this.#bench.explained(damages)
      this.#setApart(found)
      tell('policies make the engine fail: what they are about is decided apart', { policies: found.slice(0, 10), of: found.length })
    }
  }

  /** Of whose scopes it is: the whole set is asked, in a place where nothing else is decided. */
  #askApart(question: Question, tell: Tell): Answer {
    this.#apart ??= new Apart(this.#policies)
    return this.#apart.ask(question, tell)
  }

  /** The policy that makes the engine fail at a question, looked for among those that go deep enough, the deepest first. */
  #search({ action, ...rest }: Question): string[] {
    const deep = this.#policies
      .map((policy) => ({ policy, levels: treeLevels(policy.json.conditions) }))
      .filter(({ policy, levels }) => levels > DEEP && !this.#suspects.has(policy.id))
      .sort((a, b) => b.levels - a.levels)
      .map(({ policy }) => policy)
    if (this.#searches++ >= SEARCHES_MAX) return deep.map(({ id }) => id)
    const about = deep.filter(({ json }) => isAction(action) && actionsOf(json).includes(action))
    const alone = new Prepared(new Bench())
    for (const policy of about) {
      alone.replace(textsOf([policy]))
      if (alone.tryAsk({ action, ...rest }, 1) === null) return [policy.id]
    }
    return deep.map(({ id }) => id)
  }

  #setApart(found: readonly string[]): void {
    const suspects = new Set([...this.#suspects, ...found])
    this.#prepared.replace(textsOf(this.#policies, suspects))
    this.#suspects = suspects
  }
}

/** Policies by id; of a suspect what it is about, without its conditions: it tells that the policy would have to be asked. */
function textsOf(policies: readonly Policy[], suspects: ReadonlySet<string> = new Set()): Texts {
  const scopeOf = ({ json }: Policy): PolicyJson => ({ ...json, effect: 'forbid', conditions: [] })
  return Object.fromEntries(policies.map((policy) => [policy.id, suspects.has(policy.id) ? scopeOf(policy) : policy.text]))
}

/**
 * A whole set with policies that make the engine fail. Each action on policies has a place of its own, so that no other question keeps
 * anybody from putting another set in force. A place fails ten times a minute at most (`Bench`), and once for the same principal and
 * action.
 */
class Apart {
  readonly #policies: readonly Policy[]
  readonly #places = new Map<string, Prepared>()
  readonly #pausedMs = new Map<string, number>()

  constructor(policies: readonly Policy[]) {
    this.#policies = policies
  }

  #placeOf(action: string): Prepared {
    const key = action.startsWith('policy:') ? action : 'any other'
    const place = this.#places.get(key) ?? new Prepared(new Bench())
    if (!this.#places.has(key)) place.replace(textsOf(this.#policies))
    this.#places.set(key, place)
    return place
  }

  ask(question: Question, tell: Tell): Answer {
    const { principal, action } = question
    const key = JSON.stringify([principal.type, principal.id, action])
    if (systemClock.monotonicMs() - (this.#pausedMs.get(key) ?? Number.NEGATIVE_INFINITY) < PAUSE_MS) return UNASKED
    try {
      const verdict = this.#placeOf(action).tryAsk(question, 1, (why) =>
        tell('a policy makes the engine fail at a question, which is refused', { why }),
      )
      if (verdict !== null) return verdict
    } catch (error) {
      if (!isCode(error, 'unavailable')) throw error
      return UNASKED
    }
    if (this.#pausedMs.size >= PAUSES_MAX) this.#pausedMs.clear()
    this.#pausedMs.set(key, systemClock.monotonicMs())
    return FAILED
  }
}

const UNASKED: Answer = { ...FAILED, isUnasked: true }

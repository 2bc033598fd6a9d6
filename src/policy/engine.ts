import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import { type Action, ALWAYS, factsOf, isAction } from './actions.ts'
import { IN_FORCE, ON_TRIAL } from './cedar.bench.ts'
import { PRINCIPAL_TYPE, RESOURCE_TYPE } from './cedar.schema.ts'
import type { Question, Uid, Verdict } from './cedar.ts'
import { Decider } from './decider.ts'
import { type OneHanded, oneHanded, type Withheld, withheldFrom } from './hands.ts'
import type { Aal, Principal, Resource } from './model.ts'
import type { PolicySet } from './set.ts'

const MADE = Symbol('allowed')
const MINUTE_MS = 60_000
/** Of decisions that are kept: a few MB. */
const MEMO_SIZE = 10_000
/** How fresh a login may be asked to be, minutes, in the order in which the mildest is looked for. */
const AGES_MINUTES = [720, 480, 240, 120, 60, 30, 15, 10, 5, 2, 1, 0]

/** The permission to do one action. Only `Policies.allow` makes one: a use case that asks for it cannot be reached without a decision. */
export interface Allowed<A extends Action = Action> {
  readonly action: A
  /** Decides for one thing that the use case is about to act on. Throws as `Policies.allow` does. */
  check(resource: Resource): void
  /** The same as an answer, for lists: what may not be read is left out. */
  can(resource: Resource): boolean
  readonly [MADE]: true
}

/** Why it was decided so. `scope` and `environment`: limits of the proof itself, before any policy. `unpermitted`: no policy permits it. */
export type Reason = 'permitted' | 'scope' | 'environment' | 'unpermitted' | 'forbidden' | 'failed'

/** What would turn a refusal into a permission: RFC 9470 section 3. */
export interface StepUp {
  readonly aal: Aal
  /** Largest age of the login; null: the present one is fresh enough. */
  readonly maxAgeSeconds: number | null
}

/** A decision and how it came about. */
export interface Decision {
  readonly allowed: boolean
  readonly reason: Reason
  /** Ids of the policies that permitted, forbade or failed. */
  readonly policies: readonly string[]
  /** A login that would be allowed; null where none would, or none is needed. */
  readonly stepUp: StepUp | null
}

/** `step_up_required`, with what RFC 9470 section 3 wants to be said in the challenge. */
export class StepUpRequired extends RekeyError {
  readonly stepUp: StepUp
  constructor(stepUp: StepUp) {
    const fresh = stepUp.maxAgeSeconds === null ? '' : `, at most ${stepUp.maxAgeSeconds} seconds old`
    super('step_up_required', `This needs a login of assurance level ${stepUp.aal}${fresh}.`, {
      hint: 'Log in again with a passkey, or whatever proves more, and repeat it.',
    })
    this.stepUp = stepUp
  }
}

/**
 * Whether the use case may act on it. False, also for `undefined`, is to be answered as if it were not there: "not yours" must not tell
 * that it exists. Throws `step_up_required` where only a better login is missing.
 */
export function isMine(may: Allowed, resource: Resource | undefined): boolean {
  if (resource === undefined) return false
  try {
    may.check(resource)
    return true
  } catch (error) {
    if (isCode(error, 'forbidden')) return false
    throw error
  }
}

/** By set, who has it in force, or had. */
const live = new WeakMap<PolicySet, WeakRef<Policies>>()

const DENIED = { allowed: false, policies: [], stepUp: null } as const

/**
 * The policies in force, and every decision. No policy, no access: what nothing permits is refused, and so is what Cedar cannot decide.
 * Decides without waiting: about half a millisecond, or microseconds where the same was asked before.
 */
export class Policies {
  readonly #decider: Decider
  readonly #memo = new Map<string, Verdict>()
  #set: PolicySet
  #hands: OneHanded

  constructor(set: PolicySet, bench = IN_FORCE) {
    this.#decider = new Decider(bench)
    this.#decider.replace(set.policies)
    this.#set = set
    this.#hands = oneHanded(set.policies)
    live.set(set, new WeakRef(this))
  }

  /** Whether decisions can be made. False: everything is refused with `unavailable` until they can again. */
  isWhole(): boolean {
    return this.#decider.isWhole()
  }

  /** The set in force. */
  get set(): PolicySet {
    return this.#set
  }

  /** Puts another set in force, from the next decision on. */
  replace(set: PolicySet): void {
    this.#decider.replace(set.policies)
    this.#set = set
    this.#hands = oneHanded(set.policies)
    this.#memo.clear()
    live.set(set, new WeakRef(this))
  }

  /**
   * Decides whether the principal may do the action: to the installation as a whole, or to one thing. Throws `step_up_required` if a
   * login that proves more, or is fresher, is all that is missing; `forbidden` otherwise. The texts do not say which policy decided.
   */
  allow<A extends Action>(ctx: Ctx, principal: Principal, action: A, resource?: Resource): Allowed<A> {
    this.#require(ctx, principal, action, resource ?? null)
    return {
      action,
      check: (one) => this.#require(ctx, principal, action, one),
      can: (one) => this.explain(ctx, principal, action, one).allowed,
      [MADE]: true,
    }
  }

  /** The decision and its reasons, for who may know them. Throws `internal` for a resource of a type that the action is not done to. */
  explain(ctx: Ctx, principal: Principal, action: Action, resource: Resource | null = null): Decision {
    const own = this.#explain(ctx, principal, action, resource)
    if (!own.allowed) return own
    for (const bound of [...(principal.within === undefined ? [] : [principal.within]), ...(principal.makersNow ?? [])]) {
      const most = this.explain(ctx, bound, action, resource)
      // A better login of theirs is taken for granted already: there is none to ask for.
      if (!most.allowed) return { ...most, stepUp: null }
    }
    return own
  }

  /** Roles and teams that do not count: a directory provider gave them, and with them a human would hold both hands. */
  withheld(principal: Principal): Withheld {
    return withheldFrom(this.#hands, principal)
  }

  #explain(ctx: Ctx, asker: Principal, action: Action, resource: Resource | null): Decision {
    const { roles, teams } = this.withheld(asker)
    if (roles.length + teams.length === 0) return this.#decide(ctx, asker, action, resource)
    const rest = without(asker, { roles, teams })
    const decision = this.#decide(ctx, rest, action, resource)
    // What forbids by a role or team, forbids to whom it gives nothing as well.
    const whole = decision.allowed ? this.#decide(ctx, asker, action, resource) : decision
    return whole.allowed ? decision : whole
  }

  #decide(ctx: Ctx, principal: Principal, action: Action, resource: Resource | null): Decision {
    if (!isAction(action)) return { ...DENIED, reason: 'unpermitted' }
    if (ALWAYS.includes(action)) return { allowed: true, reason: 'permitted', policies: [], stepUp: null }
    const limit = limitOf(principal, action, resource)
    if (limit !== null) return { ...DENIED, reason: limit }
    const minutes = minutesSince(ctx, principal.authenticatedAt)
    const verdict = this.#verdict(ctx, principal, minutes, action, resource)
    if (verdict.allowed) return { allowed: true, reason: 'permitted', policies: verdict.policies, stepUp: null }
    const reason = verdict.failed ? 'failed' : verdict.policies.length > 0 ? 'forbidden' : 'unpermitted'
    if (reason === 'failed') ctx.log.error({ action, policies: verdict.policies }, 'a policy failed, which counts as a refusal')
    return { allowed: false, reason, policies: verdict.policies, stepUp: this.#stepUp(ctx, principal, minutes, action, resource) }
  }

  #require(ctx: Ctx, principal: Principal, action: Action, resource: Resource | null): void {
    const { allowed, stepUp } = this.explain(ctx, principal, action, resource)
    if (allowed) return
    if (stepUp !== null) throw new StepUpRequired(stepUp)
    throw new RekeyError('forbidden', `You may not do ${isAction(action) ? action : 'this'}.`)
  }

  /** The mildest login that would be allowed. People only: a program cannot log in better. */
  #stepUp(ctx: Ctx, principal: Principal, minutes: number | null, action: Action, resource: Resource | null): StepUp | null {
    if (principal.kind !== 'person') return null
    const may = (aal: Aal, age: number) => this.#verdict(ctx, { ...principal, aal }, age, action, resource).allowed
    if (!may(3, 0) && !may(principal.aal, 0)) return null
    const aal = ([1, 2, 3] as const).find((level) => may(level, 0))
    if (aal === undefined) return null
    // One as strong as this, or weaker, helps by being fresher only.
    if (aal > principal.aal && minutes !== null && may(aal, minutes)) return { aal, maxAgeSeconds: null }
    const age = AGES_MINUTES.find((each) => may(aal, each)) ?? 0
    return { aal, maxAgeSeconds: age * 60 }
  }

  /**
   * Kept by everything that Cedar gets to see, so that what is kept is what would be decided again. The id of a thing is left out where no
   * policy names one of its type: policies can compare entities with each other and with names, and attributes are only texts and
   * numbers, so ids that nobody names make no difference (a property test holds it to that).
   */
  #verdict(ctx: Ctx, principal: Principal, minutes: number | null, action: Action, resource: Resource | null): Verdict {
    const question = questionOf(principal, minutes, action, resource)
    const named = this.#set.typesNamed.has(question.resource.type)
    const key = JSON.stringify(named ? question : { ...question, resource: question.resource.type })
    const kept = this.#memo.get(key)
    if (kept !== undefined) return kept
    const verdict = this.#decider.ask(question, (what, facts) => ctx.log.error({ action, ...facts }, what))
    if (verdict.isUnasked) return verdict
    if (this.#memo.size >= MEMO_SIZE) this.#memo.clear()
    this.#memo.set(key, verdict)
    return verdict
  }
}

function without(principal: Principal, { roles, teams }: Withheld): Principal {
  const left = (some: readonly string[], gone: readonly string[]) => some.filter((one) => !gone.includes(one))
  return { ...principal, roles: left(principal.roles, roles), teams: left(principal.teams, teams) }
}

let trial: Policies | null = null

/** Whether some `Policies` of this process has this very set in force: it need not be tried anywhere else. */
export function inForce(set: PolicySet): Policies | null {
  const found = live.get(set)?.deref()
  return found?.set === set ? found : null
}

/**
 * Asks a set what it would decide: whoever has it in force, or else a place that is no one's, apart from what decides. Only for sets that
 * are or were in force; what somebody has proposed is asked by `decideApart`. `use` must not wait for anything: the next trial takes the
 * same place, since Cedar keeps every set that it was ever given a place for.
 */
export function onTrial<T>(set: PolicySet, use: (policies: Policies) => T): T {
  const own = inForce(set)
  if (own !== null) return use(own)
  trial ??= new Policies(set, ON_TRIAL)
  if (trial.set !== set) trial.replace(set)
  return use(trial)
}

/** What the proof itself is limited to, whatever policies say. */
function limitOf(principal: Principal, action: Action, resource: Resource | null): 'scope' | 'environment' | null {
  if (principal.scope !== null && !principal.scope.includes(action)) return 'scope'
  if (principal.environments === null) return null
  const { on } = factsOf(action)
  // As a whole only where each thing is checked after it: else the limit would hold for nothing.
  if (resource === null || resource.type === 'installation') return on.length > 0 ? null : 'environment'
  return resource.environment !== undefined && principal.environments.includes(resource.environment) ? null : 'environment'
}

/** Rounded up, so that a limit in whole minutes holds to the second. A login in the future counts as never. */
function minutesSince(ctx: Ctx, at: Date | null): number | null {
  if (at === null) return null
  const ms = ctx.clock.now().getTime() - at.getTime()
  return Number.isFinite(ms) && ms > -MINUTE_MS ? Math.max(0, Math.ceil(ms / MINUTE_MS)) : null
}

function questionOf(principal: Principal, minutes: number | null, action: Action, resource: Resource | null): Question {
  const { type, id, environment, owner, system, kind } = resource ?? { type: 'installation', id: 'installation' }
  if (type !== 'installation' && !(factsOf(action).on as readonly string[]).includes(type)) {
    throw new RekeyError('internal', `The action ${action} is not one that is done to things of type ${type}.`)
  }
  const person = principal.kind === 'person'
  return {
    principal: { type: PRINCIPAL_TYPE[principal.kind], id: principal.id },
    attrs: {
      aal: person ? principal.aal : 0,
      attestation: principal.attestation,
      ...(principal.identity === null ? {} : { identity: principal.identity }),
      ...(person && minutes !== null ? { minutesSinceLogin: minutes } : {}),
      ...(principal.actsFor === null ? {} : { actsFor: principal.actsFor.identity }),
    },
    parents: parentsOf(principal),
    action,
    resource: { type: RESOURCE_TYPE[type], id },
    resourceAttrs: Object.fromEntries(
      Object.entries({ environment, owner, system, kind }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
  }
}

/** Every person has the role `self`; nobody else can come by it, whatever its bindings say. */
function parentsOf({ kind, roles, teams }: Principal): Uid[] {
  const held = new Set([...roles.filter((role) => role !== 'self'), ...(kind === 'person' ? ['self'] : [])])
  return [...[...held].sort().map((id) => ({ type: 'Role', id })), ...[...new Set(teams)].sort().map((id) => ({ type: 'Team', id }))]
}

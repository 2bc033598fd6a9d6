/** The only place that speaks to Cedar: texts in, plain results out. Nothing here throws for what a policy or an entity says. */

import type * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import { messageOf, RekeyError, systemClock } from '../kernel/index.ts'
import { Engine, reading } from './cedar.engine.ts'

export { schemaText } from './cedar.schema.ts'

/** An entity's name in Cedar. */
export interface Uid {
  readonly type: string
  readonly id: string
}

/** What is asked of Cedar. */
export interface Question {
  readonly principal: Uid
  readonly attrs: Readonly<Record<string, string | number>>
  readonly parents: readonly Uid[]
  readonly action: string
  readonly resource: Uid
  readonly resourceAttrs: Readonly<Record<string, string>>
}

/** What Cedar answered. `failed`: it could not decide, or a policy failed at it, which is a denial whatever the others say. */
export interface Verdict {
  readonly allowed: boolean
  /** Ids of the policies that decided. */
  readonly policies: readonly string[]
  readonly failed: boolean
}

/** What is wrong with a policy, `start` in bytes of its text, or null where no place is known. */
export interface Objection {
  readonly policy: string
  readonly message: string
  readonly start: number | null
}

/** One policy's syntax tree, or what keeps it from being a policy. */
export function parsePolicy(id: string, text: string): { readonly json: cedar.PolicyJson } | Objection {
  const answer = reading(({ cedar }) => cedar.policyToJson(text))
  if (answer.type === 'success') return { json: answer.json }
  const [first] = answer.errors
  const label = first?.sourceLocations?.[0]
  const expected = label?.label ? ` (${label.label})` : ''
  const message = `${(first?.message ?? 'not a policy').replace('failed to parse policy from string: ', '')}${expected}`
  return { policy: id, message, start: label?.start ?? null }
}

/** How many policies a text holds by Cedar's own count; null if it does not parse. */
export function countPolicies(text: string): number | null {
  const answer = reading(({ cedar }) => cedar.policySetTextToParts(text))
  return answer.type === 'success' ? answer.policies.length + answer.policy_templates.length : null
}

/**
 * Everything that the schema has against the policies. Warnings count: a policy that can never apply protects nobody, and a letter that
 * looks like another deceives who reviews.
 */
export function validatePolicies(policies: Readonly<Record<string, string>>): Objection[] {
  const answer = reading(({ cedar, schema }) => cedar.validate({ schema, policies: { staticPolicies: { ...policies } } }))
  if (answer.type === 'failure') return answer.errors.map(({ message }) => ({ policy: '', message, start: null }))
  const found = [...answer.validationErrors, ...answer.validationWarnings].map(({ policyId, error }) => ({
    policy: policyId,
    message: `${error.message.replace(`for policy \`${policyId}\`, `, '')}${error.help ? ` (${error.help})` : ''}`,
    start: error.sourceLocations?.[0]?.start ?? null,
  }))
  const others = answer.otherWarnings.map(({ message }) => ({ policy: '', message, start: null }))
  return [...found, ...others].filter(
    (one, index, all) =>
      all.findIndex((other) => other.policy === one.policy && other.start === one.start && other.message === one.message) === index,
  )
}

/** Most times that an instance is made anew in so long: something makes it fail at each question then. */
const DAMAGES_MAX = 10
const DAMAGES_WITHIN_MS = 60_000

/**
 * Where decisions are made: one instance, which is replaced when something in it failed otherwise than by an answer. A failure leaves its
 * stack where it was, and the next ones would fail for it too.
 */
export class Bench {
  #engine: Engine | null = null
  #made = 0
  #damagesMs: number[] = []

  /**
   * The instance, and which one it is: what was prepared in another one must be prepared again. Throws `unavailable` where it fails on and
   * on.
   */
  whole(): { readonly engine: Engine; readonly made: number } {
    this.#engine ??= this.#anew()
    return { engine: this.#engine, made: this.#made }
  }

  /** No decision is made with this instance any more. */
  damaged(): void {
    this.#engine = null
    this.#damagesMs = [...this.#damagesMs, systemClock.monotonicMs()].slice(-DAMAGES_MAX)
  }

  #anew(): Engine {
    const [first] = this.#damagesMs
    if (this.#damagesMs.length === DAMAGES_MAX && first !== undefined && systemClock.monotonicMs() - first < DAMAGES_WITHIN_MS) {
      throw new RekeyError('unavailable', 'The engine that decides on policies fails again and again: nothing is decided.', {
        hint: 'Try again in a minute; the log of the server says what it fails at.',
      })
    }
    const engine = new Engine()
    this.#made++
    return engine
  }
}

/** Where the policies in force are decided by. Nothing else is done there. */
export const IN_FORCE = new Bench()
/** Where sets are tried that were read before and are not in force. */
export const ON_TRIAL = new Bench()

const FAILED: Verdict = { allowed: false, policies: [], failed: true }
let sets = 0

/** Policies that Cedar holds parsed. One lives as long as its instance: Cedar has no way to let go of it, only to replace it. */
export class Prepared {
  readonly #name = `set-${++sets}`
  readonly #bench: Bench
  #texts: Readonly<Record<string, string>> | null = null
  /** Of the instance that holds them. */
  #made = 0

  constructor(bench = IN_FORCE) {
    this.#bench = bench
  }

  /** Puts these policies in place of those before; they must be valid. If it throws, those before decide on. */
  replace(policies: Readonly<Record<string, string>>): void {
    try {
      this.#prepare(policies)
    } catch (error) {
      this.#bench.damaged()
      throw error
    }
    this.#texts = policies
  }

  /** An instance that holds the policies. Throws `unavailable`, or whatever the instance fails with. */
  #prepare(policies: Readonly<Record<string, string>>): Engine {
    const { engine, made } = this.#bench.whole()
    if (policies === this.#texts && made === this.#made) return engine
    engine.schemaName
    const answer = engine.cedar.preparsePolicySet(this.#name, { staticPolicies: { ...policies } })
    if (answer.type === 'failure') throw new Error(`the policies do not parse: ${answer.errors.map(({ message }) => message).join('; ')}`)
    this.#made = made
    return engine
  }

  /** Whether questions can be answered; a damaged instance is replaced for that. */
  isWhole(): boolean {
    try {
      this.#prepare(this.#texts ?? {})
      return true
    } catch (error) {
      if (!(error instanceof RekeyError)) this.#bench.damaged()
      return false
    }
  }

  /**
   * Never answers from a damaged instance: it is made anew, and asked once more; what fails there too is refused. `onDamage` is told of
   * each. Throws `unavailable` where it fails on and on.
   */
  ask(question: Question, onDamage: (why: string) => void = () => undefined): Verdict {
    // Half of a surrogate pair does not get through to Cedar, and each try wears the instance down.
    if (!isText(question)) return FAILED
    for (let tries = 0; tries < 2; tries++) {
      try {
        return this.#ask(this.#prepare(this.#texts ?? {}), question)
      } catch (error) {
        if (error instanceof RekeyError) throw error
        this.#bench.damaged()
        onDamage(messageOf(error))
      }
    }
    return FAILED
  }

  #ask({ cedar, schemaName }: Engine, { principal, attrs, parents, action, resource, resourceAttrs }: Question): Verdict {
    const answer = cedar.statefulIsAuthorized({
      principal: { ...principal },
      action: { type: 'Action', id: action },
      resource: { ...resource },
      context: {},
      preparsedSchemaName: schemaName,
      validateRequest: true,
      preparsedPolicySetId: this.#name,
      entities: [
        { uid: { ...principal }, attrs: { ...attrs }, parents: parents.map((parent) => ({ ...parent })) },
        { uid: { ...resource }, attrs: { ...resourceAttrs }, parents: [] },
      ],
    })
    if (answer.type === 'failure') return FAILED
    const { decision, diagnostics } = answer.response
    // Cedar passes over a policy that fails. If that one forbids, passing over it would permit.
    const failed = diagnostics.errors.length > 0
    const policies = failed ? diagnostics.errors.map(({ policyId }) => policyId) : diagnostics.reason
    return { allowed: decision === 'allow' && !failed, policies: [...policies].sort(), failed }
  }
}

function isText({ principal, attrs, parents, resource, resourceAttrs }: Question): boolean {
  const texts = [principal.id, resource.id, ...parents.map(({ id }) => id), ...Object.values(attrs), ...Object.values(resourceAttrs)]
  return texts.every((one) => typeof one === 'number' || one.isWellFormed())
}

/** Every entity that a policy's syntax tree names, wherever. */
export function entitiesNamed({ principal, action, resource, conditions }: cedar.PolicyJson): Uid[] {
  return entitiesIn([principal, action, resource, conditions])
}

/** The same of a part of a syntax tree. */
export function entitiesIn(part: unknown): Uid[] {
  const found: Uid[] = []
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if (isUid(value)) found.push(value)
    for (const inner of Object.values(value)) look(inner)
  }
  look(part)
  return found
}

function isUid(value: object): value is Uid {
  return 'type' in value && 'id' in value && typeof value.type === 'string' && typeof value.id === 'string'
}

export type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'

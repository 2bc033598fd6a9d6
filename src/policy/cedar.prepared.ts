/** Policies that Cedar holds parsed, and questions to them. */
import { messageOf, RekeyError } from '../kernel/index.ts'
import { type Bench, IN_FORCE } from './cedar.bench.ts'
import type { Engine } from './cedar.engine.ts'
import type { AnyPolicy, Question, Verdict } from './cedar.ts'

/** Policies by id, as text or as syntax tree. */
export type Texts = Readonly<Record<string, AnyPolicy>>

/** Nothing was decided, which is a refusal. */
export const FAILED: Verdict = { allowed: false, policies: [], failed: true }
let sets = 0

/** Policies that Cedar holds parsed. One lives as long as its instance: Cedar has no way to let go of it, only to replace it. */
export class Prepared {
  readonly #name = `set-${++sets}`
  readonly #bench: Bench
  #texts: Texts | null = null
  /** Of the instance that holds them. */
  #made = 0

  constructor(bench = IN_FORCE) {
    this.#bench = bench
  }

  /** Puts these policies in place of those before; they must be valid. If it throws, those before decide on. */
  replace(policies: Texts): void {
    try {
      this.#prepare(policies)
    } catch (error) {
      this.#bench.damaged()
      throw error
    }
    this.#texts = policies
  }

  /** An instance that holds the policies. Throws `unavailable`, or whatever the instance fails with. */
  #prepare(policies: Texts): Engine {
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
    return this.tryAsk(question, 2, onDamage) ?? FAILED
  }

  /** The same in so many instances at most; null if the question damages the last one too. */
  tryAsk(question: Question, instances: number, onDamage: (why: string) => void = () => undefined): Verdict | null {
    // Half of a surrogate pair does not get through to Cedar, and each try wears the instance down.
    if (!isText(question)) return FAILED
    for (let tries = 0; tries < instances; tries++) {
      try {
        return this.#ask(this.#prepare(this.#texts ?? {}), question)
      } catch (error) {
        if (error instanceof RekeyError) throw error
        this.#bench.damaged()
        onDamage(messageOf(error))
      }
    }
    return null
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

/** What Cedar is asked of texts: texts in, plain results out. Nothing here throws for what a policy or an entity says. */

import type * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import { reading } from './cedar.engine.ts'

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

export type { Policy as AnyPolicy, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'

/** The only place that speaks to Cedar: texts in, plain results out. Nothing here throws for what a policy or an entity says. */

import { readFileSync } from 'node:fs'
import * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import { ACTIONS, factsOf, groupsOf } from './actions.ts'
import { PRINCIPAL_KINDS, type PrincipalKind, type ResourceType } from './model.ts'

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

export const PRINCIPAL_TYPE: Readonly<Record<PrincipalKind, string>> = {
  person: 'Person',
  workload: 'Workload',
  machine: 'Machine',
  agent: 'Agent',
  token: 'Token',
}

export const RESOURCE_TYPE: Readonly<Record<ResourceType, string>> = {
  installation: 'Installation',
  credential: 'Credential',
  system: 'System',
  identity: 'Identity',
  team: 'Team',
  approval: 'Approval',
  session: 'Session',
  passkey: 'Passkey',
  token: 'ApiToken',
  closure: 'Closure',
  finding: 'Finding',
  exception: 'Exception',
  review: 'Review',
}

const SCHEMA = 'rekey'

/** The whole schema: the file, and a declaration for each action of the closed list. */
export function schemaText(): string {
  const groups = [...new Set(ACTIONS.flatMap((action) => groupsOf(action).slice(1)))]
  const principals = PRINCIPAL_KINDS.map((kind) => PRINCIPAL_TYPE[kind]).join(', ')
  const actions = ACTIONS.map((action) => {
    const within = groupsOf(action)
      .slice(1)
      .map((group) => JSON.stringify(group))
      .join(', ')
    const resources = [...new Set<ResourceType>(['installation', ...factsOf(action).on])].map((type) => RESOURCE_TYPE[type]).join(', ')
    return `action ${JSON.stringify(action)} in [${within}] appliesTo { principal: [${principals}], resource: [${resources}] };`
  })
  const own = readFileSync(new URL('rekey.cedarschema', import.meta.url), 'utf8')
  return `${own}\naction ${groups.map((group) => JSON.stringify(group)).join(', ')};\n${actions.join('\n')}\n`
}

let schema: string | null = null

/** The schema's text, parsed once in this process. */
function loadedSchema(): string {
  if (schema !== null) return schema
  const text = schemaText()
  const answer = cedar.preparseSchema(SCHEMA, text)
  if (answer.type === 'failure')
    throw new Error(`the policy schema is not valid: ${answer.errors.map(({ message }) => message).join('; ')}`)
  schema = text
  return text
}

/** One policy's syntax tree, or what keeps it from being a policy. */
export function parsePolicy(id: string, text: string): { readonly json: cedar.PolicyJson } | Objection {
  const answer = cedar.policyToJson(text)
  if (answer.type === 'success') return { json: answer.json }
  const [first] = answer.errors
  const label = first?.sourceLocations?.[0]
  const expected = label?.label ? ` (${label.label})` : ''
  const message = `${(first?.message ?? 'not a policy').replace('failed to parse policy from string: ', '')}${expected}`
  return { policy: id, message, start: label?.start ?? null }
}

/** How many policies a text holds by Cedar's own count; null if it does not parse. */
export function countPolicies(text: string): number | null {
  const answer = cedar.policySetTextToParts(text)
  return answer.type === 'success' ? answer.policies.length + answer.policy_templates.length : null
}

/**
 * Everything that the schema has against the policies. Warnings count: a policy that can never apply protects nobody, and a letter that
 * looks like another deceives who reviews.
 */
export function validatePolicies(policies: Readonly<Record<string, string>>): Objection[] {
  const answer = cedar.validate({ schema: loadedSchema(), policies: { staticPolicies: { ...policies } } })
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

let sets = 0

/** Policies that Cedar holds parsed. One lives as long as the process: Cedar has no way to let go of it, only to replace it. */
export class Prepared {
  readonly #name = `set-${++sets}`

  /** Puts these policies in place of those before; they must be valid. */
  replace(policies: Readonly<Record<string, string>>): void {
    loadedSchema()
    const answer = cedar.preparsePolicySet(this.#name, { staticPolicies: { ...policies } })
    if (answer.type === 'failure') throw new Error(`the policies do not parse: ${answer.errors.map(({ message }) => message).join('; ')}`)
  }

  ask(question: Question): Verdict {
    const { principal, attrs, parents, action, resource, resourceAttrs } = question
    try {
      const answer = cedar.statefulIsAuthorized({
        principal: { ...principal },
        action: { type: 'Action', id: action },
        resource: { ...resource },
        context: {},
        preparsedSchemaName: SCHEMA,
        validateRequest: true,
        preparsedPolicySetId: this.#name,
        entities: [
          { uid: { ...principal }, attrs: { ...attrs }, parents: parents.map((parent) => ({ ...parent })) },
          { uid: { ...resource }, attrs: { ...resourceAttrs }, parents: [] },
        ],
      })
      if (answer.type === 'failure') return { allowed: false, policies: [], failed: true }
      const { decision, diagnostics } = answer.response
      // Cedar passes over a policy that fails. If that one forbids, passing over it would permit.
      const failed = diagnostics.errors.length > 0
      const policies = failed ? diagnostics.errors.map(({ policyId }) => policyId) : diagnostics.reason
      return { allowed: decision === 'allow' && !failed, policies: [...policies].sort(), failed }
    } catch {
      // Text that is no Unicode (half of a surrogate pair) does not get through to Cedar at all.
      return { allowed: false, policies: [], failed: true }
    }
  }
}

/** Every entity that a policy's syntax tree names, wherever. */
export function entitiesNamed(json: cedar.PolicyJson): Uid[] {
  const found: Uid[] = []
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if (isUid(value)) found.push(value)
    for (const inner of Object.values(value)) look(inner)
  }
  look([json.principal, json.action, json.resource, json.conditions])
  return found
}

function isUid(value: object): value is Uid {
  return 'type' in value && 'id' in value && typeof value.type === 'string' && typeof value.id === 'string'
}

export type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'

/** What policies can speak of, in Cedar's words. */
import { readFileSync } from 'node:fs'
import { ACTIONS, factsOf, groupsOf } from './actions.ts'
import { PRINCIPAL_KINDS, type PrincipalKind, type ResourceType } from './model.ts'

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

import type { ResourceType } from './model.ts'

/**
 * Whose hands an action belongs in. `directory`: who exists. `credential`: what proof they can present. `control`: Rekey itself.
 * `own`: what everybody does with what is theirs.
 */
export const FAMILIES = ['directory', 'credential', 'control', 'own'] as const
/** One of the four families. */
export type Family = (typeof FAMILIES)[number]

/** What is known of an action beside its name. */
export interface ActionFacts {
  readonly family: Family
  /** True: it changes nothing. Who may only read holds no right in the sense of the separation of directory and credential rights. */
  readonly reads: boolean
  /**
   * Of which types its use case checks every thing it touches (`Allowed.check`), beside the installation as a whole. Empty: it is decided
   * once for the whole installation, so no policy can narrow it, and a proof that is limited to some environments may not do it.
   */
  readonly on: readonly ResourceType[]
}

const read = (family: Family, ...on: ResourceType[]): ActionFacts => ({ family, reads: true, on })
const change = (family: Family, ...on: ResourceType[]): ActionFacts => ({ family, reads: false, on })

const TABLE = {
  'identity:read': read('directory', 'identity'),
  'identity:join': change('directory', 'identity'),
  'identity:move': change('directory', 'identity'),
  'identity:suspend': change('directory', 'identity'),
  'identity:resume': change('directory', 'identity'),
  'identity:offboard': change('directory', 'identity'),
  'team:read': read('directory', 'team'),
  'team:create': change('directory', 'team'),
  'team:change': change('directory', 'team'),
  'team:remove': change('directory', 'team'),
  'scim:read': read('directory'),
  'scim:configure': change('directory'),
  'scim:push': change('directory', 'identity', 'team'),

  'inventory:read': read('credential'),
  'inventory:apply': change('credential'),
  'system:discover': change('credential', 'system'),
  'system:rotate-root': change('credential', 'system'),
  'system:set-root': change('credential', 'system'),
  'system:accept-server': change('credential', 'system'),
  'system:decommission': change('credential', 'system'),
  'rotation:read': read('credential', 'credential'),
  'rotation:start': change('credential', 'credential'),
  'rotation:retry': change('credential', 'credential'),
  'rotation:undo': change('credential', 'credential'),
  'rotation:resolve': change('credential', 'credential'),
  'consumer:report': change('credential', 'credential'),
  // What would become of somebody's credentials. Apart from `closure:read`, so that who ends identities may look before.
  'closure:plan': read('credential', 'closure'),
  'closure:read': read('credential', 'closure'),
  'closure:retry': change('credential', 'closure'),
  'closure:resolve': change('credential', 'closure'),
  'usable:read': read('credential', 'credential', 'token'),
  'finding:read': read('credential', 'finding'),
  'finding:resolve': change('credential', 'finding'),
  'exception:read': read('credential', 'exception'),
  'exception:declare': change('credential', 'exception'),
  'exception:end': change('credential', 'exception'),
  'review:read': read('credential', 'review'),
  'review:decide': change('credential', 'review'),

  'policy:read': read('control'),
  'policy:explain': read('control'),
  'policy:propose': change('control'),
  'policy:approve': change('control'),
  'policy:bypass': change('control'),
  'role:read': read('control'),
  'role:bind': change('control'),
  'role:unbind': change('control'),
  'token:list': read('control', 'token'),
  'token:create': change('control', 'token'),
  'token:revoke': change('control', 'token'),
  'token:rotate': change('control', 'token'),
  'issuer:read': read('control'),
  'issuer:configure': change('control'),
  'login:read': read('control'),
  'login:configure': change('control'),
  'notify:read': read('control'),
  'notify:configure': change('control'),
  'kek:read': read('control'),
  'kek:rotate': change('control'),
  'evidence:read': read('control'),
  'status:read': read('control'),
  'approval:bypass': change('control', 'approval'),
  'approval:configure': change('control'),

  'approval:read': read('own', 'approval'),
  'approval:request': change('own', 'approval'),
  'approval:withdraw': change('own', 'approval'),
  // Whose decision counts is the request's own matter: it belongs to everybody who was asked.
  'approval:decide': change('own', 'approval'),
  'session:read': read('own', 'session'),
  'session:begin': change('own', 'session'),
  'session:end': change('own', 'session'),
  'passkey:read': read('own', 'passkey'),
  'passkey:enrol': change('own', 'passkey'),
  'passkey:remove': change('own', 'passkey'),
} as const satisfies Record<`${string}:${string}`, ActionFacts>

/** One of the closed list of actions, `<noun>:<verb>`. */
export type Action = keyof typeof TABLE

/** Everything that can be asked for. An action is never taken off the list: stored policies name it. */
export const ACTIONS = Object.keys(TABLE) as readonly Action[]

/**
 * What everybody who proves who they are may, whatever policies and the limits of the proof say: its use case lets through nothing but
 * the asker's own, and it gives nobody anything. A program that asked for approval must be able to stop asking.
 */
export const ALWAYS: readonly Action[] = ['approval:withdraw']

/** Whether a text names an action of the closed list. */
export function isAction(text: string): text is Action {
  return Object.hasOwn(TABLE, text)
}

/** Family, reading or changing, and what an action is checked on. */
export function factsOf(action: Action): ActionFacts {
  return TABLE[action]
}

/** The action itself and the groups that policies may name in its place: its family, `reads` or `changes`, and `<noun>:*`. */
export function groupsOf(action: Action): string[] {
  const { family, reads } = factsOf(action)
  return [action, family, reads ? 'reads' : 'changes', `${action.split(':', 1)[0]}:*`]
}

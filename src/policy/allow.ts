import { type Ctx, RekeyError } from '../kernel/index.ts'

/** Everything that can be asked for, as `<noun>:<verb>`. The list is closed. */
export const ACTIONS = [
  'inventory:read',
  'inventory:apply',
  'system:discover',
  'system:rotate-root',
  'system:set-root',
  'system:decommission',
  'rotation:read',
  'rotation:start',
  'rotation:retry',
  'rotation:undo',
  'rotation:resolve',
  'consumer:report',
  'evidence:read',
  'kek:read',
  'kek:rotate',
  'status:read',
] as const
/** One of the closed list of actions. */
export type Action = (typeof ACTIONS)[number]

/** Who asks, proven by a token. */
export interface Principal {
  readonly id: string
  readonly role: 'admin'
}

const MADE = Symbol('allowed')

/** The permission to do one action. Only `allow` makes one, so that a use case that asks for it cannot be reached without a decision. */
export interface Allowed<A extends Action = Action> {
  readonly action: A
  readonly [MADE]: true
}

/** What each role may do. A role or an action that is not here may nothing: the default is refusal. */
const RULES: Readonly<Record<Principal['role'], ReadonlySet<Action>>> = {
  admin: new Set(ACTIONS),
}

/** Decides, and gives the permission. Throws `forbidden` if the principal's role does not have the action. */
export function allow<A extends Action>(_ctx: Ctx, principal: Principal, action: A): Allowed<A> {
  if (RULES[principal.role]?.has(action) !== true) {
    throw new RekeyError('forbidden', `This token may not do ${action}.`)
  }
  return { action, [MADE]: true }
}

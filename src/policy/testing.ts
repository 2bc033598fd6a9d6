/** For tests only: permissions and principals without a server. */
import type { Ctx } from '../kernel/index.ts'
import type { Action } from './actions.ts'
import { type Allowed, Policies } from './engine.ts'
import type { Principal } from './model.ts'
import { defaultPolicies } from './set.ts'

/** Some token without roles; give what differs. */
export function principal(changes: Partial<Principal> = {}): Principal {
  const proof = { aal: 0, authenticatedAt: null, attestation: 'token', actsFor: null, scope: null, environments: null } as const
  return { id: 'test', kind: 'token', identity: null, name: 'test', roles: [], teams: [], ...proof, ...changes }
}

let policies: Policies | null = null

/** The default policies, read once. */
export function byDefault(): Policies {
  policies ??= new Policies(defaultPolicies())
  return policies
}

/** As who asks: the first token of an installation. */
export const FIRST_TOKEN = principal({ roles: ['bootstrap-admin'] })

/** What the first token of an installation may do, decided by the default policies. */
export function allowed<A extends Action>(ctx: Ctx, action: A): Allowed<A> {
  return byDefault().allow(ctx, FIRST_TOKEN, action)
}

/** Any permission of the first token, when it is asked for. */
export const permitted =
  (ctx: Ctx) =>
  <A extends Action>(action: A): Allowed<A> =>
    allowed(ctx, action)

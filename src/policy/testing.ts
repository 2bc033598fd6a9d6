/** For tests only: permissions and principals without a server. */
import type { Ctx } from '../kernel/index.ts'
import type { Action } from './actions.ts'
import { parsePolicy } from './cedar.ts'
import { type Allowed, Policies } from './engine.ts'
import type { Principal } from './model.ts'
import type { Policy } from './set.model.ts'
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

/** A condition that Cedar reads and cannot decide: each level lies on its stack. Three times as deep as a policy may be. */
export const DEEP_IF = `${'if principal.aal < 9 then '.repeat(450)}true${' else false'.repeat(450)}`

/** A policy past every bound of ours. */
export function policyOf(text: string, id = 'own'): Policy {
  const parsed = parsePolicy(id, text)
  if (!('json' in parsed)) throw new Error(parsed.message)
  return { id, file: `${id}.cedar`, line: 1, text, json: parsed.json }
}

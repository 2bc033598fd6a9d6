import { type Ctx, RekeyError } from '../kernel/index.ts'
import {
  type Action,
  type Allowed,
  asPrincipal,
  type Decision,
  type Policies,
  type Principal,
  type Resource,
  type WrittenPrincipal,
} from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { rolesHeld, subjectsNamed } from './role.store.ts'

/** A decision, with whom it was made for. */
export interface Explained extends Decision {
  readonly principal: Principal
}

/**
 * What the policies in force would decide, and which policy decides it. `holder` names an identity or a token whose bound roles are added
 * to those that are written down. Throws `not_found` if it does not exist, `bad_input` if the action is not done to things of that type.
 */
export async function explainPolicies(
  sql: Sql,
  policies: Policies,
  ctx: Ctx,
  _may: Allowed<'policy:explain'>,
  asked: {
    readonly principal: WrittenPrincipal
    readonly holder?: { readonly kind: 'identity' | 'token'; readonly name: string } | undefined
    readonly action: Action
    readonly resource?: Resource | undefined
  },
): Promise<Explained> {
  const principal = asPrincipal(ctx, await withBound(sql, asked.principal, asked.holder))
  try {
    return { ...policies.explain(ctx, principal, asked.action, asked.resource ?? null), principal }
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    throw new RekeyError('bad_input', error.message)
  }
}

async function withBound(
  sql: Sql,
  written: WrittenPrincipal,
  holder: { readonly kind: 'identity' | 'token'; readonly name: string } | undefined,
): Promise<WrittenPrincipal> {
  if (holder === undefined) return written
  const [id] = await subjectsNamed(sql, holder.kind, holder.name)
  if (id === undefined) throw new RekeyError('not_found', `There is no such ${holder.kind}.`)
  const held = await rolesHeld(sql, holder.kind === 'identity' ? id : null, [], holder.kind === 'token' ? id : null)
  const roles = [...new Set([...written.roles, ...held])]
  return holder.kind === 'token' ? { ...written, id, kind: 'token', roles } : { ...written, id, identity: id, roles }
}

import { type Ctx, RekeyError } from '../kernel/index.ts'
import { type Action, holdersOf, type Policies, type PolicySet, type Principal } from '../policy/index.ts'

/** What the roles give at most. */
function mostOf(set: PolicySet, roles: readonly string[]): Set<Action> {
  const held = holdersOf(set.policies).filter(({ role }) => role !== null && roles.includes(role))
  return new Set(held.flatMap(({ actions }) => [...actions]))
}

/** What the roles give without any condition, on everything: who has that has it wherever a token could. */
function surelyOf(set: PolicySet, roles: readonly string[]): Set<Action> {
  const plain = set.policies.filter(({ json }) => json.effect === 'permit' && json.conditions.length === 0 && json.resource.op === 'All')
  return mostOf({ ...set, policies: plain }, roles)
}

/**
 * Whether a token with these roles, and within this scope, can do what none of somebody's roles gives, surely or by the very same role. By
 * roles alone, as `requireCover` looks at them when it is made.
 */
export function isBeyond(set: PolicySet, token: Pick<Principal, 'roles' | 'scope'>, maker: Pick<Principal, 'roles'>): boolean {
  const foreign = mostOf(
    set,
    token.roles.filter((role) => !maker.roles.includes(role)),
  )
  const surely = surelyOf(set, maker.roles)
  return [...foreign].some((action) => (token.scope === null || token.scope.includes(action)) && !surely.has(action))
}

/**
 * Throws `forbidden` unless the maker may do at least what the token could. For each action that the token could do: the maker has the
 * very role that gives it, or has it without condition; and may do it now, so that limits of its own proof, and what forbids, count.
 * Where that is in doubt, it is refused. The same holds for binding a role to a token that is there.
 */
export function requireCover(ctx: Ctx, policies: Policies, maker: Principal, token: Principal): void {
  if (maker.within !== undefined) throw new RekeyError('forbidden', 'Who acts for somebody else makes no tokens.')
  const { set } = policies
  const surely = surelyOf(set, maker.roles)
  const foreign = mostOf(
    set,
    token.roles.filter((role) => !maker.roles.includes(role)),
  )
  const missing = [...mostOf(set, token.roles)].filter((action) => {
    if (!policies.explain(ctx, token, action).allowed) return false
    return (foreign.has(action) && !surely.has(action)) || !policies.explain(ctx, maker, action).allowed
  })
  const [first] = missing
  if (first === undefined) return
  throw new RekeyError('forbidden', `The token could do more than you: ${first}, for one.`, {
    hint: 'Give it fewer roles or a scope, or ask somebody who may do it.',
  })
}

import { type Ctx, RekeyError } from '../kernel/index.ts'
import { onTrial, type PolicySet, type Principal, type PrincipalKind } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { type BoundSubject, boundSubjects } from './role.store.ts'
import { peopleOf } from './team.actions.ts'

const KINDS = { human: 'person', workload: 'workload', machine: 'machine', agent: 'agent' } as const

/** Whoever holds the roles, with the best login there is. Of a team: some person in it. */
function atBest(ctx: Ctx, { kind, id, what, roles }: BoundSubject): Principal {
  const principalKind: PrincipalKind = kind === 'token' ? 'token' : kind === 'team' ? 'person' : KINDS[what ?? 'human']
  const person = principalKind === 'person'
  return {
    id,
    kind: principalKind,
    identity: kind === 'identity' ? id : null,
    name: '',
    roles,
    teams: kind === 'team' ? [id] : [],
    aal: person ? 3 : 0,
    authenticatedAt: person ? ctx.clock.now() : null,
    attestation: 'hardware',
    actsFor: null,
    scope: null,
    environments: null,
  }
}

/**
 * Throws `wrong_state` if, under this set and with the roles as they are bound, nobody could change policy any more: somebody who may
 * propose, and somebody else who may approve, or who may bypass. A team counts as several people: how many it has is not looked at, so an
 * empty one passes.
 */
export async function requireChangeable(sql: Sql, ctx: Ctx, set: PolicySet): Promise<void> {
  const subjects = await boundSubjects(sql)
  const open = onTrial(set, (policies) => {
    const who = (action: 'policy:propose' | 'policy:approve' | 'policy:bypass') =>
      subjects.filter((subject) => policies.explain(ctx, atBest(ctx, subject), action).allowed)
    const [propose, approve, bypass] = [who('policy:propose'), who('policy:approve'), who('policy:bypass')]
    if (propose.some((one) => bypass.includes(one))) return true
    return propose.some((one) => approve.some((other) => other !== one || other.kind === 'team'))
  })
  if (open) return
  throw new RekeyError(
    'wrong_state',
    'Nobody could change policy any more: somebody must be able to propose, and somebody else to approve.',
    {
      hint: 'Bind security-admin to two people first: rekey role bind --help',
    },
  )
}

/**
 * Whether an active person could approve policies under this set, as the roles are bound: who is alone may bypass with a token, and nobody
 * else. A team counts if people are in it.
 */
export async function somebodyApproves(sql: Sql, ctx: Ctx, set: PolicySet): Promise<boolean> {
  const subjects = (await boundSubjects(sql)).filter(({ kind, what, active }) => kind === 'team' || (what === 'human' && active))
  const may = onTrial(set, (policies) => subjects.filter((one) => policies.explain(ctx, atBest(ctx, one), 'policy:approve').allowed))
  for (const { kind, id } of may) if (kind === 'identity' || (await peopleOf(sql, id)).length > 0) return true
  return false
}

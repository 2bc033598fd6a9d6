import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { Ask, PolicySet, Principal, PrincipalKind } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { hasRule } from './approval.rule.store.ts'
import { decidesAll } from './policyset.read.ts'
import { type BoundSubject, boundSubjects } from './role.store.ts'
import { boundsOf } from './token.bounds.ts'

const KINDS = { human: 'person', workload: 'workload', machine: 'machine', agent: 'agent' } as const

/** Whoever holds the roles, with the best login there is. Of a team: some person in it. */
export function atBest(ctx: Ctx, { kind, id, what, roles }: BoundSubject): Principal {
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
 * propose, and somebody else who may approve, or who may bypass. Who counts is active and can log in; of a team, people in it who are.
 * Where a rule asks for approval of policies no program bypasses it; it counts only while it could take the rule away.
 */
export async function requireChangeable(sql: Sql, ctx: Ctx, set: PolicySet): Promise<void> {
  if (await isChangeable(sql, ctx, set)) return
  throw new RekeyError(
    'wrong_state',
    'Nobody could change policy any more: somebody must be able to propose, and somebody else to approve.',
    {
      hint: 'Bind security-admin to two people who can log in first: rekey role bind --help',
    },
  )
}

/**
 * Whether an active person could approve policies under this set, as the roles are bound: who is alone may bypass with a token, and nobody
 * else.
 */
export async function somebodyApproves(sql: Sql, ctx: Ctx, set: PolicySet): Promise<boolean> {
  const people = (await boundSubjects(sql)).filter((one) => one.actors.length > 0 && isPeople(one))
  return decidesAll(
    ctx,
    set,
    people.map((one) => [atBest(ctx, one), 'policy:approve'] as const),
  ).includes(true)
}

/** Does `change`; throws as `requireChangeable` if somebody could change policy before it and nobody could after it. */
export async function stayChangeable<T>(sql: Sql, ctx: Ctx, set: PolicySet, change: () => Promise<T>): Promise<T> {
  const before = await isChangeable(sql, ctx, set)
  const made = await change()
  if (before) await requireChangeable(sql, ctx, set)
  return made
}

/** Whether somebody could change policy, as `requireChangeable` counts it. */
export async function isChangeable(sql: Sql, ctx: Ctx, set: PolicySet): Promise<boolean> {
  const asks = await whoChanges(sql, ctx)
  const ruled = (await hasRule(sql, 'policy:approve')) && (await hasRule(sql, 'approval:configure'))
  const answers = decidesAll(
    ctx,
    set,
    asks.map(({ by, action }) => [by, action] as const),
  )
  const who = (wanted: (typeof CHANGING)[number]) =>
    asks.flatMap(({ subject, action }, at) => (action === wanted && answers[at] === true ? [subject] : []))
  const [propose, approve, bypass] = [who('policy:propose'), who('policy:approve'), who('policy:bypass')]
  if (propose.length > 0 && bypass.some((one) => !ruled || isPeople(one))) return true
  const approvers = new Set(approve.flatMap(({ actors }) => actors))
  return propose.some(({ actors }) => actors.some((actor) => approvers.size > (approvers.has(actor) ? 1 : 0)))
}

/** What `isChangeable` asks of a set, for `readSet`. */
export async function changeableAsks(sql: Sql, ctx: Ctx): Promise<Ask[]> {
  return (await whoChanges(sql, ctx)).map(({ by, action }) => [by, action] as const)
}

async function whoChanges(sql: Sql, ctx: Ctx) {
  const subjects = (await boundSubjects(sql)).filter(({ actors }) => actors.length > 0)
  const asking = await askers(sql, ctx, subjects)
  return asking.flatMap(([subject, by]) => CHANGING.map((action) => ({ subject, by, action })))
}

const CHANGING = ['policy:propose', 'policy:approve', 'policy:bypass'] as const

/** Each as it asks: a token that people made for themselves no further than they may now. */
async function askers(sql: Sql, ctx: Ctx, subjects: readonly BoundSubject[]): Promise<[BoundSubject, Principal][]> {
  const found: [BoundSubject, Principal][] = []
  for (const one of subjects) found.push([one, { ...atBest(ctx, one), makersNow: await boundsOf(sql, ctx, one.makers) }])
  return found
}

/** Whether people act with what is bound to it. */
export const isPeople = ({ kind, what }: BoundSubject) => kind === 'team' || what === 'human'

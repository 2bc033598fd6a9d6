import { append } from '../evidence/index.ts'
import { type Ctx, isId, RekeyError } from '../kernel/index.ts'
import { type Allowed, type Family, holdersOf, holdsBoth, type Policies, type PolicySet, type Principal } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { requireApproval, withApproval } from './approval.gate.ts'
import type { Approvable } from './approval.model.ts'
import { peopleThrough } from './approval.people.ts'
import { hasRule } from './approval.rule.store.ts'
import { lockPolicies } from './policyset.store.ts'
import { lockRecord } from './record.store.ts'
import { requireOthers } from './role.behind.ts'
import { stayChangeable } from './role.changeable.ts'
import { type Force, keepApart, requireForce, tellForced, WITHOUT_WHOLE } from './role.hands.ts'
import type { Binding, SubjectKind } from './role.model.ts'
import * as rows from './role.store.ts'
import { teamById } from './team.store.ts'
import { requireCover } from './token.cover.ts'
import { tokenLimits } from './token.store.ts'

/** Which role, to whom, and why. */
export interface BindInput {
  readonly role: string
  readonly kind: SubjectKind
  /** Name or id of an identity or token; of a team its immutable id. */
  readonly subject: string
  readonly reason: string
  /** True: bind it although one identity, team or token then holds directory rights and credential rights. */
  readonly force: boolean
}

/**
 * Binds a role (event `role.bound`). Throws `bad_input` for a role that no policy in force asks for, `not_found` for a subject that is
 * not there, `conflict` if it has the role, `forbidden` for whoever stands behind the subject and for a role that gives a token more than
 * the asker may do, `wrong_state` if the subject, or anybody in it, would hold both hands and it is not forced (event `role.forced`; the
 * reason then has at least 10 characters), `approval_required` where a rule asks for it.
 */
export async function bindRole(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'role:bind'>,
  by: Principal,
  policies: Policies,
  input: BindInput,
): Promise<Binding> {
  const { role, kind, reason } = input
  const { set } = policies
  requireRole(set, role)
  return withApproval(store, ctx, by, async (tx) => {
    await lockPolicies(tx)
    const subject = await subjectOf(tx, kind, input.subject)
    // Nobody comes into the team while it is looked at who is in it; an approval is used up under this lock.
    if (kind === 'team' && (await hasRule(tx, 'role:bind'))) await lockRecord(tx, 'alone')
    await requireOthers(tx, by, { [SUBJECTS[kind]]: [subject] }, 'Nobody binds a role to themselves, or to what is theirs.')
    if (kind === 'token') requireCover(ctx, policies, by, await tokenOnPaper(tx, subject, role))
    const held = kind === 'team' ? (await rows.rolesAround(tx, subject)).roles : await rows.rolesBoundTo(tx, kind, subject)
    const both = bothBy(set, held, role)
    if (both !== null) requireForce(input, `It would hold directory rights and credential rights together${both}.`)
    const { made: id, people } = await keepApart(tx, ctx, set, input, async () => {
      const added = await rows.addBinding(tx, ctx, { role, kind, id: subject, reason })
      if (added === null) throw new RekeyError('conflict', `It has the role ${role} already.`)
      return added
    })
    const forced = both !== null || people.length > 0
    await requireApproval(tx, ctx, await bindingAsked(tx, input, subject, forced))
    const links = { [kind]: subject, binding: id }
    if (forced) await tellForced(tx, ctx, { subject: role, links, to: kind, reason }, people)
    await append(tx, ctx, [{ log: 'identity', type: 'role.bound', subject: role, links, data: { to: kind, reason } }])
    return { id, role, kind, subject, name: null, createdAt: ctx.clock.now().toISOString(), createdBy: ctx.actor, reason }
  })
}

/** Whether one more role brings both hands together, and the end of what is said of it; null: it does not. */
function bothBy(set: PolicySet, held: readonly string[], role: string): string | null {
  const isBoth = (roles: readonly string[]) => holdsBoth(familiesOf(set, roles))
  const [before, after] = [held, [...held, role]]
  if (isBoth(after) && !isBoth(before)) return ''
  // A role that gives both by itself has its reason in its policy, which speaks for no other.
  const rest = (roles: readonly string[]) => roles.filter((one) => !isBoth([one]))
  return isBoth(rest(after)) && !isBoth(rest(before)) ? WITHOUT_WHOLE : null
}

const SUBJECTS = { team: 'teams', identity: 'identities', token: 'tokens' } as const

/** The token as it would ask with this role alone. */
async function tokenOnPaper(tx: Tx, id: string, role: string): Promise<Principal> {
  const limits = await tokenLimits(tx, id)
  const proof = { aal: 0, authenticatedAt: null, attestation: 'token', actsFor: null } as const
  return { id, kind: 'token', name: '', roles: [role], teams: [], ...proof, ...limits }
}

/**
 * Takes a role away (event `role.unbound`). Throws `not_found`; `wrong_state` if nobody could change policy any more, and if somebody would
 * go on holding both hands without a role that was meant for it and it is not forced (event `role.forced`).
 */
export async function unbindRole(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'role:unbind'>,
  set: PolicySet,
  id: string,
  why: Force,
): Promise<void> {
  const { reason } = why
  await store.inTx(async (tx) => {
    await lockPolicies(tx)
    const removal = () => (isId(id) ? rows.removeBinding(tx, id) : Promise.resolve(null))
    const { made: gone, people } = await keepApart(tx, ctx, set, why, () => stayChangeable(tx, ctx, set, removal))
    if (gone === null) throw new RekeyError('not_found', 'There is no such binding.')
    const links = { [gone.kind]: gone.subject, binding: gone.id }
    if (people.length > 0) await tellForced(tx, ctx, { subject: gone.role, links, to: gone.kind, reason }, people)
    await append(tx, ctx, [{ log: 'identity', type: 'role.unbound', subject: gone.role, links, data: { from: gone.kind, reason } }])
  })
}

/** Binding this role to exactly this subject, in words and as data. */
async function bindingAsked(
  tx: Tx,
  { role, kind, subject: given, reason }: BindInput,
  subject: string,
  both: boolean,
): Promise<Approvable> {
  const name = kind === 'team' ? ((await teamById(tx, subject))?.name ?? given) : given
  const hands = both ? ['Directory rights and credential rights then come together in one hand.'] : []
  return {
    action: 'role:bind',
    subject: role,
    what: { role, to: kind, subject, both, reason },
    about: [subject],
    words: [
      `Give the role ${role} to the ${kind} ${JSON.stringify(name)} (${subject}).`,
      ...hands,
      `Reason given: ${JSON.stringify(reason)}`,
    ].join('\n'),
    ...(kind === 'team' && { people: await peopleThrough(tx, [subject]) }),
  }
}

/** Throws `bad_input` for a role that no policy in force asks for. `self` is nobody's to give: every person has it. */
export function requireRole(set: PolicySet, role: string): void {
  const known = holdersOf(set.policies).flatMap((holder) => (holder.role === null || holder.role === 'self' ? [] : [holder.role]))
  if (known.includes(role)) return
  throw new RekeyError('bad_input', 'No policy in force gives anything to a role of this name.', {
    hint: `There are: ${known.join(', ')}.`,
  })
}

/** Families in which roles may change something. */
export function familiesOf(set: PolicySet, roles: readonly string[]): Set<Family> {
  const held = holdersOf(set.policies).filter(({ role }) => role !== null && roles.includes(role))
  return new Set(held.flatMap(({ families }) => [...families]))
}

async function subjectOf(tx: Tx, kind: SubjectKind, name: string): Promise<string> {
  if (kind === 'team') {
    if (!isId(name)) throw new RekeyError('bad_input', 'A team is named by its immutable id.')
    return name
  }
  const [found, ...others] = await rows.subjectsNamed(tx, kind, name)
  if (found === undefined) throw new RekeyError('not_found', `There is no such ${kind}.`)
  if (others.length > 0) throw new RekeyError('conflict', `There are several of this name.`, { hint: 'Name it by its id.' })
  return found
}

/** That somebody can still let the others in again, whatever way in is taken away. */
import { type Ctx, isCode, RekeyError } from '../../kernel/index.ts'
import type { Action, Policies } from '../../policy/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { couldApprove } from '../approval.model.ts'
import { type ApprovalRule, ruleOf } from '../approval.rule.store.ts'
import { withoutHumans } from '../approval.standing.ts'
import { candidates } from '../approval.store.ts'
import { standBehind } from '../behind.ts'
import { humansAmong } from '../person.ts'
import { stayChangeable } from '../role.changeable.ts'
import { boundSubjects, rolesHeld } from '../role.store.ts'
import { peopleOf, teamsOf } from '../team.actions.ts'
import * as rows from './passkey.store.ts'

/**
 * Does `change`, which takes ways to log in from one person or from many, under the lock on policies. Throws `wrong_state`, and nothing
 * of it
 * is to be kept, if before it some person could log in and let others in, and nobody could after it; or if nobody could change policy any
 * more (`stayChangeable`). To let others in is to configure logins; where a rule asks for approval of that, others who can log in must be
 * able to give it or to bypass it. Tokens do not count: the one of the first start is meant to be revoked.
 */
export async function keepWaysIn<T>(tx: Tx, ctx: Ctx, policies: Policies, change: () => Promise<T>): Promise<T> {
  return stayChangeable(tx, ctx, policies.set, async () => {
    const before = await waysIn(tx, ctx, policies)
    const made = await change()
    const after = before === 'none' ? before : await waysIn(tx, ctx, policies)
    if (after === 'none' && before !== 'none') throw lastWay('It is the last way in of the last administrator.')
    if (after === 'alone' && before === 'ruled') {
      throw lastWay('Nobody could approve or bypass a change of logins any more, which a rule asks for: who cannot log in stays out.')
    }
    return made
  })
}

function lastWay(words: string): RekeyError {
  return new RekeyError('wrong_state', words, {
    hint: 'Another passkey, a link elsewhere or another person with the role first. To stop somebody: rekey identity suspend --force.',
  })
}

/** Nobody lets others in; somebody would, and has nobody for what the rule asks; or they can, by the rule where there is one. */
type WaysIn = 'none' | 'alone' | 'ruled'

async function waysIn(tx: Tx, ctx: Ctx, policies: Policies): Promise<WaysIn> {
  const holders = await whoLogIn(tx)
  const rule = await ruleNow(tx, ctx)
  let found: WaysIn = 'none'
  for (const person of holders) {
    if (!(await mayDo(tx, ctx, policies, person, 'login:configure'))) continue
    if (rule === null || (await hasHelp(tx, ctx, policies, { person, holders, rule }))) return 'ruled'
    found = 'alone'
  }
  return found
}

/** One that cannot be read (rows changed by hand) refuses every change of logins by itself. */
async function ruleNow(tx: Tx, ctx: Ctx): Promise<ApprovalRule | null> {
  return ruleOf(tx, ctx, 'login:configure').catch((error: unknown) => {
    if (isCode(error, 'unavailable')) return null
    throw error
  })
}

/** People who hold roles, by themselves or by their teams, and can log in. */
async function whoLogIn(tx: Tx): Promise<string[]> {
  const bound = await boundSubjects(tx)
  const teams = bound.filter(({ kind }) => kind === 'team')
  const members = await Promise.all(teams.map(({ id }) => peopleOf(tx, id)))
  const holders = [...bound.flatMap(({ id, what }) => (what === 'human' ? [id] : [])), ...members.flat().map(({ id }) => id)]
  return rows.whoCanLogIn(tx, [...new Set(holders)])
}

interface Asking {
  readonly person: string
  readonly holders: readonly string[]
  readonly rule: ApprovalRule
}

/** Whether, of others who can log in, enough could approve what this person asks for, or one could bypass it. */
async function hasHelp(tx: Tx, ctx: Ctx, policies: Policies, { person, holders, rule }: Asking): Promise<boolean> {
  const behind = await standBehind(tx, [person])
  const others = await withoutHumans(
    tx,
    holders.map((identity) => ({ identity })),
    behind,
  )
  for (const { identity } of others) if (await mayDo(tx, ctx, policies, identity, 'approval:bypass')) return true
  const asked = await candidates(
    tx,
    rule.factors.map(({ team }) => team),
    behind,
  )
  const able = new Set(
    await rows.whoCanLogIn(
      tx,
      asked.map(({ identity }) => identity),
    ),
  )
  const approvers = (await withoutHumans(tx, asked, behind)).filter(({ identity }) => able.has(identity))
  const humanOf = await humansAmong(
    tx,
    approvers.map(({ identity }) => identity),
  )
  return couldApprove(rule.factors, approvers, humanOf)
}

/** Whether this person, logged in as well as can be, may do it. */
async function mayDo(sql: Sql, ctx: Ctx, policies: Policies, identity: string, action: Action): Promise<boolean> {
  const teams = await teamsOf(sql, identity)
  const held = await rolesHeld(sql, identity, teams, null)
  const limits = { attestation: 'none', actsFor: null, scope: null, environments: null } as const
  const best = { aal: 3, authenticatedAt: ctx.clock.now(), ...limits } as const
  return policies.explain(ctx, { id: identity, kind: 'person', identity, name: '', ...held, teams, ...best }, action).allowed
}

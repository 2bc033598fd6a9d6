/** Who can bring a proposed set into force: said to whoever proposes it, since without a rule nobody is asked and nobody waits. */
import type { Ctx } from '../kernel/index.ts'
import type { PolicySet } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { standBehind } from './behind.ts'
import { unreachedBy } from './notify.reach.ts'
import { certainlyOthers } from './person.ts'
import { decidesAll } from './policyset.read.ts'
import { atBest, isPeople } from './role.changeable.ts'
import { boundSubjects, peopleWhoCanLogIn } from './role.store.ts'

/** Who can bring a proposed set into force, as roles are bound at this moment. */
export interface Activation {
  /** True: a rule names who approves, and the request that was made says who they are; the rest is about what holds without one. */
  readonly rule: boolean
  /** Names of people of whom one is enough: they may `policy:approve`, can log in and do not stand behind the proposal. */
  readonly approvers: readonly string[]
  /** Names of people who may bring it into force alone, also their own proposal, with a reason (`policy:bypass`). */
  readonly bypassers: readonly string[]
  /** The same in a sentence or two. */
  readonly words: string
}

/** Names in one answer. */
const NAMED = 20

/** Who can bring a set into force under the set that is in force now. */
export async function activationOf(
  sql: Sql,
  ctx: Ctx,
  set: PolicySet,
  { proposers, approval }: { readonly proposers: readonly string[]; readonly approval: string | null },
): Promise<Activation> {
  const subjects = (await boundSubjects(sql)).filter(({ actors }) => actors.length > 0)
  const [approve, bypass] = (['policy:approve', 'policy:bypass'] as const).map((action) => {
    const answers = decidesAll(
      ctx,
      set,
      subjects.map((one) => [atBest(ctx, one), action] as const),
    )
    return subjects.filter((_, at) => answers[at] === true)
  })
  const peopleOf = async (found: typeof subjects = []) => {
    const ids = (kind: string) => found.filter((one) => one.kind === kind && isPeople(one)).map(({ id }) => id)
    return peopleWhoCanLogIn(sql, ids('identity'), ids('team'))
  }
  const [may, past] = [await peopleOf(approve), await peopleOf(bypass)]
  const others = await certainlyOthers(sql, may, ({ id }) => id, await standBehind(sql, proposers))
  const token = may.length === 0 && (bypass ?? []).some((one) => !isPeople(one))
  const [approvers, bypassers] = [others, past].map((people) => people.slice(0, NAMED).map(({ name }) => name))
  const words =
    approval === null
      ? wordsOf(approvers ?? [], bypassers ?? [], token)
      : [`A rule names who approves this: see ${approval}.`, await unreachedBy(sql, approval)].flatMap((it) => it ?? []).join(' ')
  return { rule: approval !== null, approvers: approvers ?? [], bypassers: bypassers ?? [], words }
}

function wordsOf(approvers: readonly string[], bypassers: readonly string[], token: boolean): string {
  const one =
    approvers.length > 0
      ? `Nobody was asked: no rule names who approves policies. One of these people is enough: ${approvers.join(', ')}.`
      : 'Nobody was asked: no rule names who approves policies, and nobody but who proposed it could approve it.'
  const alone = bypassers.length > 0 ? ` Alone, with a reason that stays on record (policy:bypass): ${bypassers.join(', ')}.` : ''
  const program = token ? ' As long as that is so, a token that may policy:bypass can.' : ''
  return `${one}${alone}${program}`
}

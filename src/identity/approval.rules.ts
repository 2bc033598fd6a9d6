import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isCode, type Json, RekeyError } from '../kernel/index.ts'
import type { Action, Allowed, Principal } from '../policy/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { checkApprovers, namedFactors } from './approval.enough.ts'
import { requireApproval, withApproval } from './approval.gate.ts'
import { APPROVAL_LIMITS, type Approvable, type Factor, parseFactors } from './approval.model.ts'
import * as rules from './approval.rule.store.ts'
import { APPROVABLE, type ApprovalRule, isApprovable } from './approval.rule.store.ts'
import * as rows from './approval.store.ts'
import { checkReason, refuse } from './record.model.ts'
import { lockRecord } from './record.store.ts'

/** What a rule says. */
export interface RuleInput {
  readonly action: string
  /** As written; see `parseFactors`. */
  readonly factors: unknown
  readonly expiresSeconds: number
  readonly reason: string
}

/**
 * Makes or changes the rule of one action (`approval.rule_set`). Throws `bad_input` for an action that nothing asks approval for, for
 * factors that ask for nobody, and where a team has too few people; `approval_required` where there is a rule on rules.
 */
export async function putRule(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'approval:configure'>,
  by: Principal,
  input: RuleInput,
): Promise<ApprovalRule> {
  const { expiresSeconds, reason } = input
  checkReason(reason)
  const factors = parseFactors(input.factors)
  const { expiresSecondsMin: least, expiresSecondsMax: most } = APPROVAL_LIMITS
  if (!Number.isInteger(expiresSeconds) || expiresSeconds < least || expiresSeconds > most) {
    refuse('A request expires after 5 minutes to 30 days.')
  }
  const action = approvable(input.action)
  return withApproval(store, ctx, by, async (tx) => {
    // No team goes while a rule comes to ask it.
    await lockRecord(tx, 'alone')
    const named = await namedFactors(tx, factors)
    await checkApprovers(
      tx,
      named,
      await rows.candidates(
        tx,
        named.map(({ team }) => team),
        [],
      ),
    )
    await requireApproval(tx, ctx, changeOf(action, factorsJson(factors), expiresSeconds, reason, named))
    const rule = { action, factors, expiresSeconds, changedAt: ctx.clock.now(), changedBy: ctx.actor, reason }
    await rules.upsertRule(tx, rule)
    await append(tx, ctx, [ruleEvent('approval.rule_set', action, { factors: factorsJson(factors), expiresSeconds, reason })])
    return rule
  })
}

/** Takes the rule of an action away (`approval.rule_removed`): it needs no approval then. Throws `not_found`, `approval_required`. */
export async function removeRule(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'approval:configure'>,
  by: Principal,
  action: string,
  reason: string,
): Promise<void> {
  checkReason(reason)
  await withApproval(store, ctx, by, async (tx) => {
    if (!isApprovable(action) || (await rules.hasRule(tx, action)) === false) {
      throw new RekeyError('not_found', 'There is no rule for this action.')
    }
    await requireApproval(tx, ctx, changeOf(action, null, null, reason, []))
    await rules.deleteRule(tx, action)
    await append(tx, ctx, [ruleEvent('approval.rule_removed', action, { reason })])
  })
}

/** Every rule, by action. One that cannot be read (rows changed by hand) is shown without factors; its action is refused until mended. */
export async function listRules(sql: Sql): Promise<(Omit<ApprovalRule, 'factors'> & { readonly factors: readonly Factor[] | null })[]> {
  const found = []
  for (const row of await rules.allRules(sql)) {
    found.push({ ...row, factors: readable(row.factors) })
  }
  return found
}

function readable(factors: unknown): Factor[] | null {
  try {
    return parseFactors(factors)
  } catch (error) {
    if (isCode(error, 'bad_input')) return null
    throw error
  }
}

function approvable(action: string): Action {
  if (isApprovable(action)) return action
  return refuse('Nothing asks for approval for this action.', `These do: ${APPROVABLE.join(', ')}.`)
}

const factorsJson = (factors: readonly Factor[]): Json => factors.map((one) => ({ ...one }))

function changeOf(
  action: string,
  factors: Json,
  expiresSeconds: number | null,
  reason: string,
  named: readonly rows.FactorRow[],
): Approvable {
  const each = named.map(({ count, teamName, team, aal, passkey }) => {
    return `- ${count} of ${teamName} (${team}), at level ${aal}${passkey ? ', with a passkey' : ''}`
  })
  const words =
    factors === null
      ? [`Take away the rule that ${action} must be approved.`]
      : [`From now on ${action} must be approved, within ${expiresSeconds} seconds, by:`, ...each]
  return {
    action: 'approval:configure',
    subject: action,
    what: { rule: action, factors, expiresSeconds, reason },
    words: [...words, `Reason given: ${JSON.stringify(reason)}`].join('\n'),
  }
}

function ruleEvent(type: string, action: string, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: action, data }
}

import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import type { Action } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { type Factor, parseFactors } from './approval.model.ts'

/** Actions that ask for approval where a rule says so. */
export const APPROVABLE = [
  ...(['identity:offboard', 'role:bind', 'policy:approve', 'approval:configure'] as const),
  ...(['login:configure', 'issuer:configure'] as const),
] as const satisfies readonly Action[]

/** Whether something asks for approval for this action. */
export function isApprovable(action: string): action is (typeof APPROVABLE)[number] {
  return APPROVABLE.some((one) => one === action)
}

/** That an action must be approved, by whom, and for how long a request is open. */
export interface ApprovalRule {
  readonly action: string
  readonly factors: readonly Factor[]
  readonly expiresSeconds: number
  readonly changedAt: Date
  readonly changedBy: string
  readonly reason: string
}

type RuleRow = Omit<ApprovalRule, 'factors'> & { readonly factors: unknown }

const RULE = `action, factors, expires_seconds as "expiresSeconds", changed_at as "changedAt", changed_by as "changedBy", reason`

/**
 * The rule of an action; null where it needs no approval. Throws `unavailable` for a rule that asks for nobody or cannot be read: rows
 * changed by hand must not mean that nobody has to approve.
 */
export async function ruleOf(sql: Sql, ctx: Ctx, action: Action): Promise<ApprovalRule | null> {
  const [row] = await sql.query<RuleRow>(`select ${RULE} from approval_rule where action = $1`, [action])
  if (row === undefined) return null
  try {
    return { ...row, factors: parseFactors(row.factors) }
  } catch (error) {
    if (!isCode(error, 'bad_input')) throw error
    ctx.log.error({ action }, 'the approval rule of this action cannot be read: the action is refused')
    throw new RekeyError('unavailable', 'The approval rule of this action cannot be read.', {
      hint: 'Set it again: rekey approval rule set.',
    })
  }
}

export async function allRules(sql: Sql): Promise<RuleRow[]> {
  return sql.query(`select ${RULE} from approval_rule order by action collate "C"`)
}

export async function hasRule(sql: Sql, action: string): Promise<boolean> {
  return (await sql.query('select action from approval_rule where action = $1', [action])).length === 1
}

/** Actions whose rule asks this team. */
export async function rulesAsking(sql: Sql, team: string): Promise<string[]> {
  const found = await sql.query<{ action: string }>('select action from approval_rule where factors @> $1::jsonb order by action', [
    JSON.stringify([{ team }]),
  ])
  return found.map(({ action }) => action)
}

export async function upsertRule(tx: Tx, { action, factors, expiresSeconds, changedAt, changedBy, reason }: ApprovalRule): Promise<void> {
  await tx.query(
    `insert into approval_rule (action, factors, expires_seconds, changed_at, changed_by, reason) values ($1, $2::jsonb, $3, $4, $5, $6)
     on conflict (action) do update set factors = excluded.factors, expires_seconds = excluded.expires_seconds,
       changed_at = excluded.changed_at, changed_by = excluded.changed_by, reason = excluded.reason`,
    [action, JSON.stringify(factors), expiresSeconds, changedAt, changedBy, reason],
  )
}

export async function deleteRule(tx: Tx, action: string): Promise<void> {
  await tx.query('delete from approval_rule where action = $1', [action])
}

/** Whether enough distinct people are there for what a rule asks. */
import { isCode } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { APPROVAL_LIMITS, couldApprove, type Factor } from './approval.model.ts'
import type { Standing } from './approval.standing.ts'
import * as rows from './approval.store.ts'
import { humansAmong } from './person.ts'
import { refuse } from './record.model.ts'
import { teamsByIds } from './team.store.ts'

/** The factors with the names of their teams. Throws `bad_input` for a team that is not there, unless it may be `gone`. */
export async function namedFactors(tx: Tx, factors: readonly Factor[], gone = false): Promise<rows.FactorRow[]> {
  const names = new Map(
    (
      await teamsByIds(
        tx,
        factors.map(({ team }) => team),
      )
    ).map(({ id, name }) => [id, name]),
  )
  return factors.map((factor, position) => {
    const teamName = names.get(factor.team) ?? (gone ? `${factor.team}, which is gone` : undefined)
    return teamName === undefined ? refuse(`There is no team ${factor.team}.`) : { ...factor, position, teamName }
  })
}

/**
 * Why nobody could get an approval by these factors, whoever asked: a team that is gone, too few people or too many, in words. Null where
 * it is only a matter of who asks, or of nothing at all.
 */
export async function rulesLack(tx: Tx, factors: readonly Factor[]): Promise<string | null> {
  const named = await namedFactors(tx, factors, true)
  const teams = named.map(({ team }) => team)
  try {
    await checkApprovers(tx, named, await rows.candidates(tx, teams, []))
    return null
  } catch (error) {
    if (isCode(error, 'bad_input')) return error.message
    throw error
  }
}

/** Whether too few were asked for this request to be approved ever, however they decide. */
export async function askedTooFew(sql: Sql, { row, factors }: Pick<Standing, 'row' | 'factors'>): Promise<boolean> {
  const asked = await rows.approversOf(sql, row.id)
  const humanOf = await humansAmong(
    sql,
    asked.map(({ identity }) => identity),
  )
  return !couldApprove(factors, asked, humanOf)
}

/** Throws `bad_input` where nobody, too few (with `hint`) or too many could approve. */
export async function checkApprovers(
  sql: Sql,
  factors: readonly rows.FactorRow[],
  approvers: readonly rows.ApproverRow[],
  hint?: string,
): Promise<void> {
  for (const { position, teamName, count } of factors) {
    const found = approvers.filter((one) => one.position === position).length
    if (found < count) refuse(`The team ${teamName} has ${found} people who may approve this; ${count} must.`, hint)
  }
  const humanOf = await humansAmong(
    sql,
    approvers.map(({ identity }) => identity),
  )
  if (!couldApprove(factors, approvers, humanOf)) refuse('There are fewer distinct people in the teams than must approve.', hint)
  if (approvers.length > APPROVAL_LIMITS.approvers)
    refuse(`More than ${APPROVAL_LIMITS.approvers} people would be asked: name a smaller team.`)
}

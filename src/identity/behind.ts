/** Who stands behind what: one idea for approvals, policies, roles and tokens, so that who speaks through something counts as its voice. */
import { isId } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { standBehindIds } from './behind.store.ts'

/**
 * The makers of what this principal makes: every identity that stands behind the principal itself. Null if there is none: what the first
 * token makes has nobody on record.
 */
export function makersBy({ identity, actsFor, makers }: Principal): string[] | null {
  const behind = new Set([...(identity === null ? [] : [identity]), ...(actsFor === null ? [] : [actsFor.identity]), ...(makers ?? [])])
  return behind.size === 0 ? null : [...behind].sort()
}

/** The ids from which to ask who stands behind what a principal does: its own, its identity's, that of whom it acts for, its makers'. */
export function standsBehind(by: Principal): string[] {
  return [...new Set([by.id, ...(makersBy(by) ?? [])])]
}

/**
 * Ids of everybody who stands behind any of these (identities, API tokens, directory providers, teams), as they are at this moment: who
 * can speak as it, or answers for it. The ids themselves are among them, each once. One that is no id, or is of nothing, stands for itself.
 * `crews`: also everybody of the team that answers for a program. They have an interest in its rights; of what it asks they may judge.
 */
export async function standBehind(sql: Sql, ids: readonly string[], crews: 'crews' | 'no crews' = 'no crews'): Promise<string[]> {
  return [...new Set([...ids, ...(await standBehindIds(sql, ids.filter(isId), crews === 'crews'))])]
}

/**
 * The same of one API token, identities alone: whose it is, for whom it acts, who made it (through tokens made by tokens and across
 * rotations), and who stands behind the programs among them. Empty if nobody is on record: the first token, and what that one made for
 * nobody. Of a token that has ended too. Empty for what is no token.
 */
export async function standsBehindToken(sql: Sql, tokenId: string): Promise<string[]> {
  return isId(tokenId) ? standBehindIds(sql, [tokenId]) : []
}

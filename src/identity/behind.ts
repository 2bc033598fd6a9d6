/** Who stands behind what: one idea for approvals, policies, roles and tokens, so that who speaks through something counts as its voice. */
import { isId } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { activePeopleOf, standBehindIds } from './behind.store.ts'
import { humansAmong } from './person.ts'

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
 * `crews`: also everybody of the team that answers for a program. They have an interest in its rights; of what it asks they may judge, as
 * long as there are two of them: a team of one human is that human.
 */
export async function standBehind(sql: Sql, ids: readonly string[], crews: 'crews' | 'no crews' = 'no crews'): Promise<string[]> {
  return [...new Set([...ids, ...(await identitiesBehind(sql, ids.filter(isId), crews === 'crews'))])]
}

async function identitiesBehind(sql: Sql, ids: readonly string[], crews: boolean): Promise<string[]> {
  const from = [...ids]
  const judged = new Set<string>()
  for (;;) {
    const found = await standBehindIds(sql, from, crews)
    const teams = [...new Set(found.flatMap(({ crew }) => (crew === null || judged.has(crew) ? [] : [crew])))]
    const alone = crews || teams.length === 0 ? [] : await teamsOfOne(sql, teams)
    if (alone.length === 0) return found.map(({ id }) => id)
    for (const team of teams) judged.add(team)
    from.push(...alone)
  }
}

/** Of a team so many are looked at: if these are of one human, it counts as that human's. */
const LOOKED_AT = 50

/**
 * Those of these teams in which there are no two active people who are certainly different humans, nested teams included: what such a team
 * answers for is that one human's. Not a team without people, which is nobody.
 */
async function teamsOfOne(sql: Sql, teams: readonly string[]): Promise<string[]> {
  const crews = await activePeopleOf(sql, teams, LOOKED_AT)
  const { mayBe } = await humansAmong(
    sql,
    crews.flatMap(({ people }) => people),
  )
  const differ = (one: string, other: string) => !mayBe(one).some((human) => mayBe(other).includes(human))
  return crews.flatMap(({ team, people }) => {
    const several = people.some((one, at) => people.slice(at + 1).some((other) => differ(one, other)))
    return several || people.length === 0 ? [] : [team]
  })
}

/**
 * The same of one API token, identities alone: whose it is, for whom it acts, who made it (through tokens made by tokens and across
 * rotations), and who stands behind the programs among them. Empty if nobody is on record: the first token, and what that one made for
 * nobody. Of a token that has ended too. Empty for what is no token.
 */
export async function standsBehindToken(sql: Sql, tokenId: string): Promise<string[]> {
  return isId(tokenId) ? identitiesBehind(sql, [tokenId], false) : []
}

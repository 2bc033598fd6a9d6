/** Who stands behind what: one idea for approvals, policies, roles and tokens, so that who speaks through something counts as its voice. */
import { isId, RekeyError } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { activePeopleOf, standBehindIds } from './behind.store.ts'
import { humansAmong, shareHuman } from './person.ts'

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

type Crews = 'crews' | 'no crews'

/**
 * Ids of everybody who stands behind what this principal does at this moment: `standBehind` of all ids of `standsBehind`. Whoever wants to
 * know by whom something is, asks this, so that nobody is somebody else through a token or a program of theirs.
 */
export function everybodyBehind(sql: Sql, by: Principal, crews: Crews = 'no crews'): Promise<string[]> {
  return standBehind(sql, standsBehind(by), crews)
}

/**
 * The identities among them, which is what a thing that lets others in remembers as its makers: they may know its secret when the program
 * that set it up is somebody else's. Null where nobody is on record.
 */
export async function makersBehind(sql: Sql, by: Principal): Promise<string[] | null> {
  const makers = makersBy(by)
  // A person is behind themselves, and the first token is nobody's: most who ask need no question.
  if (makers === null || (by.kind === 'person' && by.actsFor === null)) return makers
  return [...new Set([...makers, ...(await identitiesBehind(sql, standsBehind(by).filter(isId), false))])].sort()
}

/**
 * Throws `forbidden` with these words if one of these people is the human of somebody who stands behind the principal, or may be: people
 * of a team that answers for its program too, since what they do here is for themselves.
 */
export async function refuseOneself(sql: Sql, by: Principal, people: readonly string[], words: string, hint: string): Promise<void> {
  if (await shareHuman(sql, await everybodyBehind(sql, by, 'crews'), people)) throw new RekeyError('forbidden', words, { hint })
}

/**
 * Ids of everybody who stands behind any of these (identities, API tokens, directory providers, teams), as they are at this moment: who
 * can speak as it, or answers for it. The ids themselves are among them, each once. One that is no id, or is of nothing, stands for itself.
 * `crews`: also everybody of the team that answers for a program. They have an interest in its rights; of what it asks they may judge, as
 * long as there are two of them: a team of one human is that human.
 */
export async function standBehind(sql: Sql, ids: readonly string[], crews: Crews = 'no crews'): Promise<string[]> {
  return [...new Set([...ids, ...(await identitiesBehind(sql, ids.filter(isId), crews === 'crews'))])]
}

async function identitiesBehind(sql: Sql, ids: readonly string[], crews: boolean): Promise<string[]> {
  const from = [...ids]
  const judged = new Set<string>()
  for (;;) {
    const found = await standBehindIds(sql, from, crews)
    const teams = [...new Set(found.flatMap(({ crew }) => (crew === null || judged.has(crew) ? [] : [crew])))]
    const alone = crews || teams.length === 0 ? [] : await loneTeams(sql, teams)
    if (alone.length === 0) return found.map(({ id }) => id)
    for (const team of teams) judged.add(team)
    from.push(...alone)
  }
}

/** Of a team so many are looked at: if these are of one human, it counts as that human's. */
const LOOKED_AT = 50

/**
 * Those of these teams in which there are no two active people who are certainly different humans, nested teams included: what such a team
 * answers for is that one human's. Where nobody in it is active it is still theirs who are in it: they may know its token.
 */
export async function loneTeams(sql: Sql, teams: readonly string[]): Promise<string[]> {
  const crews = await activePeopleOf(sql, teams, LOOKED_AT)
  const { mayBe } = await humansAmong(
    sql,
    crews.flatMap(({ people }) => people),
  )
  const differ = (one: string, other: string) => !mayBe(one).some((human) => mayBe(other).includes(human))
  return crews.flatMap(({ team, people }) => {
    const several = people.some((one, at) => people.slice(at + 1).some((other) => differ(one, other)))
    return several ? [] : [team]
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

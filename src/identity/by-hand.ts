/** What people gave somebody, and no directory: rights that nobody comes to by the word of a directory alone. */
import { peopleNamed } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './by-hand.store.ts'
import { connectedTo } from './person.store.ts'
import { humansAmong } from './person.ts'
import { setInForce } from './policyset.inforce.ts'

/**
 * Whether this person, by any identity that is or may be of the same human, holds anything that was given by hand: a role, a place in a
 * team that no directory keeps, a good token that is theirs, acts for them or that they made, a policy that names them, a leave to hold
 * both hands, a directory's token that they made. What only a directory's groups give is not by hand, also where somebody gave it to the
 * group. As it is at this moment: under the locks on policies and on the record it stays so. By the set in force only: one that is proposed
 * gives nothing, and who approves it gives by hand then what it gives. Under `withSets`.
 */
export async function holdsByHand(sql: Sql, identity: string): Promise<boolean> {
  const around = await connectedTo(sql, [identity])
  const { mayBe } = await humansAmong(sql, [identity])
  const humans = new Set(mayBe(identity))
  const selves = around.filter((id) => mayBe(id).some((human) => humans.has(human)))
  const all = [...new Set([identity, ...selves])]
  return rows.someHoldByHand(sql, all, await namedAmong(sql, all))
}

/** Of these identities, whom the policies in force name or may mean; of a set that cannot be read it is not known. */
async function namedAmong(sql: Sql, all: readonly string[]): Promise<readonly string[]> {
  const set = await setInForce(sql)
  if (set === null) return all
  const { ids, anybody } = peopleNamed(set.policies)
  return anybody ? all : all.filter((id) => ids.has(id))
}

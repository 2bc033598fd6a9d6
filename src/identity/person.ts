/** One human with several identities: counted once, and never somebody else than themselves. */
import { isId } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './person.store.ts'

/**
 * Names the human of each identity. Two are one if somebody said so, or if a directory or the label `email` gives both one address and
 * nobody said that they are not; and so on from one to the next. Ids of anything else stand for themselves.
 */
export type HumanOf = (id: string) => string

/** `HumanOf` for these ids, as it is at this moment. */
export async function humansAmong(sql: Sql, ids: Iterable<string>): Promise<HumanOf> {
  const humans = await rows.humansOf(sql, [...new Set(ids)].filter(isId))
  return (id) => humans.get(id) ?? id
}

/** Whether one of these is the human of one of those. */
export async function shareHuman(sql: Sql, these: readonly string[], those: readonly string[]): Promise<boolean> {
  const humanOf = await humansAmong(sql, [...these, ...those])
  const humans = new Set(those.map(humanOf))
  return these.some((id) => humans.has(humanOf(id)))
}

/** A person who shares an address with others, of whom nobody has said yet whether they are the same. */
export interface LikelyDouble {
  readonly id: string
  readonly name: string
  readonly others: readonly string[]
  readonly since: Date
}

/**
 * Likely doubles among so many people after this one, and the id of the last that was looked at (null at the end). Each pair is named
 * once, by its older identity.
 */
export async function likelyDoubles(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: LikelyDouble[]; readonly last: string | null }> {
  const looked = await rows.doubles(sql, after, limit)
  const found = looked.flatMap(({ id, name, others, since }) => (others === null ? [] : [{ id, name, others, since }]))
  return { found, last: looked.length < limit ? null : (looked.at(-1)?.id ?? null) }
}

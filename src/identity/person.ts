/** One human with several identities: counted once, and never somebody else than themselves. */
import { isId } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { humansFrom } from './person.model.ts'
import * as rows from './person.store.ts'

/**
 * Names the human of each identity, as `humansFrom` says. Ids of anything else stand for themselves. Of an identity that may be several it
 * names one: whoever counts votes asks `mayBe` first.
 */
export type HumanOf = (id: string) => string

/** As `HumanOf`, with all whom an identity may be. */
export interface Humans {
  (id: string): string
  /** One id of each human whom this identity may be; more than one where directories give it addresses of several. */
  mayBe(id: string): readonly string[]
}

/** `HumanOf` for these ids, as it is at this moment. */
export async function humansAmong(sql: Sql, ids: Iterable<string>): Promise<Humans> {
  const asked = [...new Set(ids)].filter(isId)
  const all = asked.length === 0 ? [] : await rows.connectedTo(sql, asked)
  const humans =
    all.length === 0 ? new Map<string, string[]>() : humansFrom(all, await rows.saidAmong(sql, all), await rows.addressesAmong(sql, all))
  const mayBe = (id: string): readonly string[] => humans.get(id) ?? [id]
  return Object.assign((id: string) => mayBe(id)[0] ?? id, { mayBe })
}

/**
 * Those of `asked` who are certainly none of the humans of `behind`: who may be one of several people is certainly nobody, and left out.
 */
export async function certainlyOthers<T>(sql: Sql, asked: readonly T[], idOf: (one: T) => string, behind: readonly string[]): Promise<T[]> {
  const { mayBe } = await humansAmong(sql, [...behind, ...asked.map(idOf)])
  const humans = new Set(behind.flatMap((id) => mayBe(id)))
  return asked.filter((one) => {
    const own = mayBe(idOf(one))
    return own.length === 1 && !own.some((human) => humans.has(human))
  })
}

/** Whether one of these is, or may be, the human of one of those. */
export async function shareHuman(sql: Sql, these: readonly string[], those: readonly string[]): Promise<boolean> {
  const { mayBe } = await humansAmong(sql, [...these, ...those])
  const humans = new Set(those.flatMap((id) => mayBe(id)))
  return these.some((id) => mayBe(id).some((human) => humans.has(human)))
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

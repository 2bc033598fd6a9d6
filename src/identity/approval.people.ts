/** Who gets something by being in a team: what is approved is for those who were in it then. */
import { canonicalJson } from '../evidence/index.ts'
import { type Json, someOf } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import type { Approvable } from './approval.model.ts'
import * as rows from './approval.people.store.ts'

/** Ids in the data; of more a digest stands for all, and then it fits exactly those or nobody. */
const LISTED = 300
/** Names in the words, cut so that nobody's name makes them too long. */
const NAMED = 8
const NAME_CHARS = 40

/** Everybody in these teams now, through any nesting. */
export function peopleThrough(sql: Sql, teams: readonly string[]): Promise<rows.Named[]> {
  return rows.everybodyIn(sql, teams)
}

/** What is asked, with the people whom it reaches in its words and in its data. */
export function withPeople({ people, ...asked }: Approvable): Approvable {
  if (people === undefined) return asked
  return {
    ...asked,
    what: { ...object(asked.what), people: listed(people.map(({ id }) => id)) },
    words: `${asked.words}\n${inWords(people)}`,
  }
}

/** Ids in order; of more than the bound their number and a digest. */
export function listed(ids: readonly string[]): Json {
  const sorted = [...ids].sort()
  return sorted.length <= LISTED ? sorted : { count: sorted.length, digest: digestHex(canonicalJson(sorted)) }
}

function inWords(people: readonly rows.Named[]): string {
  if (people.length === 0) return 'It reaches nobody through teams as they are now. Whoever comes into them before it is done is not meant.'
  const names = people.map(({ name }) => quoted(name))
  const who = someOf(names, NAMED)
  return `It reaches ${people.length} through teams as they are now: ${who}. Whoever comes into them before it is done is not meant.`
}

/** A name in words that have a bound. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > NAME_CHARS ? `${name.slice(0, NAME_CHARS)}…` : name)
}

/** Whether a request of before is for the very same, apart from whom it reaches. */
export function isAlike(before: Json, now: Json): boolean {
  const rest = ({ people: _people, ...others }: Record<string, Json>) => canonicalJson(others)
  return rest(object(before)) === rest(object(now))
}

/** Who came in since it was asked: nobody, then it still fits. `true`: the teams were too large to say who. */
export function cameIn(before: Json, now: Json): readonly string[] | true {
  const [was, is] = [object(before).people, object(now).people]
  if (Array.isArray(was) && Array.isArray(is)) return is.flatMap((id) => (was.includes(id) ? [] : [String(id)]))
  return canonicalJson(was ?? null) === canonicalJson(is ?? null) ? [] : true
}

/** For whoever comes with an approval that does not fit any more. */
export function latecomers(approval: string, came: readonly string[] | true, people: Approvable['people'] = []): string {
  if (came === true) return ` The teams changed since approval ${approval}.`
  const names = came.map((id) => quoted(people.find((one) => one.id === id)?.name ?? id))
  return ` ${someOf(names, NAMED)} came into it since approval ${approval}.`
}

function object(value: Json): Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...(value as Record<string, Json>) } : {}
}

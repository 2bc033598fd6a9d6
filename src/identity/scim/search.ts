/** Lists and searches (RFC 7644 section 3.4). What no index answers is looked at one by one, up to a bound. */
import { isId, type Json } from '../../kernel/index.ts'
import type { Sql } from '../../store/index.ts'
import type { JsonObject, ResourceType } from './attribute.ts'
import { type Driver, planOf } from './driver.ts'
import { ScimError } from './error.ts'
import { type Bound, bindFilter, matches } from './filter.match.ts'
import type { Filter } from './filter.parse.ts'
import { type GroupRow, membersOfGroups } from './group.store.ts'
import { carries, project, type Wanted } from './project.ts'
import type { ScimClient } from './provider.ts'
import { type Collection, FIRST, groupCollection, userCollection } from './search.store.ts'
import { GROUP, USER } from './types.ts'
import { groupsOfUsers, type ResourceRow } from './user.store.ts'
import { groupView, userView } from './view.ts'

/** Most resources of one page, and how many without being asked. */
export const PAGE_MAX = 500
export const PAGE_DEFAULT = 100
/** Most resources that one search looks at one by one. */
export const LOOKED_AT_MAX = 10_000
/** Most members in one answer; a page ends early for it, but holds at least one group. */
export const MEMBERS_SHOWN_MAX = 20_000
const MEMBERS_LOOKED_AT_MAX = 200_000
const BATCH = 500

/** A question of a client, with every default filled in. */
export interface Question {
  readonly filter: Filter | null
  /** From 1. */
  readonly startIndex: number
  readonly count: number
  readonly wanted: Wanted
}

export interface Found {
  readonly total: number
  readonly resources: readonly JsonObject[]
}

/** One resource type as it is searched: its rows, and how they become resources. */
interface Searched<Row extends ResourceRow> {
  readonly type: ResourceType
  readonly rows: Collection<Row>
  /** Views with what the filter speaks of; `mentioned` are top attributes. */
  readonly views: (sql: Sql, rows: readonly Row[], filter: Bound) => Promise<readonly Json[]>
  /** Views as they are answered; may be fewer than the rows. */
  readonly answers: (sql: Sql, rows: readonly Row[], wanted: Wanted) => Promise<readonly JsonObject[]>
}

const USERS: Searched<ResourceRow> = {
  type: USER,
  rows: userCollection,
  views: async (sql, rows, filter) => withGroups(sql, rows, mentions(filter, 'groups')),
  answers: async (sql, rows, wanted) => withGroups(sql, rows, carries(USER, wanted, 'groups')),
}

const GROUPS: Searched<GroupRow> = {
  type: GROUP,
  rows: groupCollection,
  views: async (sql, rows, filter) => {
    const only = membersNamed(filter)
    if (only !== null && only.length === 0) return rows.map((row) => groupView(row, []))
    return withMembers(sql, rows, only, MEMBERS_LOOKED_AT_MAX)
  },
  answers: async (sql, rows, wanted) => {
    if (!carries(GROUP, wanted, 'members')) return rows.map((row) => groupView(row, []))
    let room = MEMBERS_SHOWN_MAX
    const shown = rows.filter(({ member_count }, index) => {
      room -= member_count
      return index === 0 || room >= 0
    })
    return withMembers(sql, shown, null, Math.max(MEMBERS_LOOKED_AT_MAX, shown[0]?.member_count ?? 0))
  },
}

async function withGroups(sql: Sql, rows: readonly ResourceRow[], needed: boolean): Promise<JsonObject[]> {
  const found = needed
    ? await groupsOfUsers(
        sql,
        rows.map(({ id }) => id),
      )
    : []
  const byUser = Map.groupBy(found, ({ user_id }) => user_id)
  return rows.map((row) => userView(row, byUser.get(row.id)))
}

async function withMembers(sql: Sql, rows: readonly GroupRow[], only: readonly string[] | null, most: number): Promise<JsonObject[]> {
  const ids = rows.map(({ id }) => id)
  const members = await membersOfGroups(sql, ids, only, most + 1)
  if (members.length > most) throw tooMany()
  const byGroup = Map.groupBy(members, ({ group_id }) => group_id)
  return rows.map((row) => groupView(row, byGroup.get(row.id) ?? []))
}

/** One user as it is answered. */
export async function showUser(sql: Sql, row: ResourceRow, wanted: Wanted): Promise<JsonObject> {
  const [view = {}] = await USERS.answers(sql, [row], wanted)
  return project(USER, wanted, view)
}

/** One group as it is answered. */
export async function showGroup(sql: Sql, row: GroupRow, wanted: Wanted): Promise<JsonObject> {
  const [view = {}] = await GROUPS.answers(sql, [row], wanted)
  return project(GROUP, wanted, view)
}

export async function searchUsers(sql: Sql, client: ScimClient, question: Question): Promise<Found> {
  return search(sql, client, USERS, question)
}

export async function searchGroups(sql: Sql, client: ScimClient, question: Question): Promise<Found> {
  return search(sql, client, GROUPS, question)
}

/** Users, then groups, as one list (section 3.4.3). */
export async function searchAll(sql: Sql, client: ScimClient, question: Question): Promise<Found> {
  const users = await search(sql, client, USERS, question, [GROUP])
  const startIndex = Math.max(1, question.startIndex - users.total)
  const groups = await search(sql, client, GROUPS, { ...question, startIndex, count: question.count - users.resources.length }, [USER])
  // The page of users may be a full one: then no group is on it, even if the count would leave room.
  const behindUsers = question.startIndex + users.resources.length > users.total
  return { total: users.total + groups.total, resources: [...users.resources, ...(behindUsers ? groups.resources : [])] }
}

async function search<Row extends ResourceRow>(
  sql: Sql,
  client: ScimClient,
  searched: Searched<Row>,
  { filter, startIndex, count, wanted }: Question,
  others: readonly ResourceType[] = [],
): Promise<Found> {
  const { type, rows } = searched
  const bound = filter === null ? null : bindFilter(type, filter, others)
  const plan = bound === null ? null : planOf(bound, (by) => rows.supports(by))
  if (bound !== null && plan?.exact !== true) {
    const ids = await idsThatPass(sql, client, searched, bound, plan?.drivers ?? null)
    const page = await rows.byIds(sql, client.providerId, ids.slice(startIndex - 1, startIndex - 1 + count))
    return { total: ids.length, resources: await shown(sql, searched, page, wanted) }
  }
  const driver = plan?.drivers[0] ?? null
  const total = await rows.count(sql, client.providerId, driver)
  const page = count === 0 || startIndex > total ? [] : await rows.page(sql, client.providerId, driver, startIndex - 1, count)
  return { total, resources: await shown(sql, searched, page, wanted) }
}

async function shown<Row extends ResourceRow>(sql: Sql, { type, answers }: Searched<Row>, page: readonly Row[], wanted: Wanted) {
  return (await answers(sql, page, wanted)).map((view) => project(type, wanted, view))
}

/** In the order of ids. Throws `tooMany` when more would have to be looked at than the bound allows. */
async function idsThatPass<Row extends ResourceRow>(
  sql: Sql,
  { providerId }: ScimClient,
  { rows, views }: Searched<Row>,
  filter: Bound,
  drivers: readonly Driver[] | null,
): Promise<string[]> {
  const passed = new Set<string>()
  let looked = 0
  for (const driver of drivers ?? [null]) {
    for (let after = FIRST; ; ) {
      const batch = await rows.behind(sql, providerId, driver, after, BATCH)
      looked += batch.length
      if (looked > LOOKED_AT_MAX) throw tooMany()
      const seen = await views(sql, batch, filter)
      batch.forEach(({ id }, index) => void (matches(filter, seen[index] ?? null) && passed.add(id)))
      after = batch.at(-1)?.id ?? after
      if (batch.length < BATCH) break
    }
  }
  return [...passed].sort()
}

function tooMany(): ScimError {
  return new ScimError(400, 'tooMany', 'This filter would have to look at too many resources: filter by an indexed attribute as well.')
}

/** Whether a filter speaks of a top attribute. */
function mentions(filter: Bound, name: string): boolean {
  if ('filters' in filter) return filter.filters.some((one) => mentions(one, name))
  if (filter.op === 'not') return mentions(filter.filter, name)
  return filter.op !== 'never' && filter.chain[0].name === name
}

/**
 * Which members must be known to decide a filter: those that it compares with, if it speaks of members by their id only; else all
 * (null). Entra ID asks for one member of a group of many thousands.
 */
function membersNamed(filter: Bound): string[] | null {
  const parts = (filters: readonly Bound[]) => {
    const named = filters.map(membersNamed)
    return named.some((one) => one === null) ? null : named.flatMap((one) => one ?? [])
  }
  if ('filters' in filter) return parts(filter.filters)
  if (filter.op === 'not') return membersNamed(filter.filter)
  if (!mentions(filter, 'members')) return []
  if (filter.op === 'has') return namedInside(filter.filter)
  return namedInside(filter)
}

function namedInside(filter: Bound): string[] | null {
  if ('filters' in filter) {
    const named = filter.filters.map(namedInside)
    return named.some((one) => one === null) ? null : named.flatMap((one) => one ?? [])
  }
  if (filter.op !== 'eq' || filter.chain.at(-1)?.name !== 'value' || typeof filter.value !== 'string') return null
  return isId(filter.value) ? [filter.value] : []
}

import type { Sql } from '../store/index.ts'

/** A filter whose names have become keys. */
export interface ListFilter {
  readonly kind?: string
  readonly status?: string
  readonly environment?: string
  readonly tenancy?: string
  readonly source?: string
  readonly prefix?: string
  readonly owners?: readonly string[]
  readonly teams?: readonly string[]
  readonly label?: { readonly key: string; readonly value: string }
}

const PLAIN = ['kind', 'status', 'environment', 'tenancy', 'source'] as const

/** Members of teams, bearers of a label or owned ones up to this many are looked up by name and asked for the rest, one by one. */
const FEW = 4_000
/** Where nothing that is given is so narrow: so many by name are asked one by one before whole sets are made. */
const WALK = 1_000

/**
 * The ids of one page in the order of their names. The text is made from the filters that are given and from nothing else, so there are
 * few texts and each has a plan that walks one index in the order of the page: that of a team's or a label's names, of an owner's, or
 * of a column's. One text with `$1 is null or …` for all would read the whole table.
 *
 * A team and a label are in tables of their own. To ask for each identity costs 2 µs, which is much where nearly none of very many holds
 * both (90 ms for 40,000); to make a set of all members costs their number, which is wasted where the page is full after a hundred names.
 * So the narrowest leads if it is narrow; else the first names are asked one by one, and sets are made only for what comes after.
 */
export async function pageIds(sql: Sql, filter: ListFilter, page: { after: string | null; limit: number }): Promise<string[]> {
  const lead = await leadOf(sql, filter)
  if (lead !== null) return read(sql, page, (params) => lead(filter, params, page.limit))
  if (filter.teams === undefined && filter.label === undefined) {
    return read(sql, page, (params) => `select c.id from (${candidates(filter, params, page.limit)}) c order by c.name`)
  }
  const first = await read(sql, page, (params) => probing(filter, params, page.limit))
  if (first.length >= page.limit) return first
  const [last] = await read(sql, page, (params) => lastWalked(filter, params))
  if (last === undefined) return first
  const rest = { after: last, limit: page.limit - first.length }
  return [...first, ...(await read(sql, rest, (params) => bySets(filter, params, rest.limit)))]
}

/** Collects parameters and hands out their places. */
class Params {
  readonly values: unknown[] = []
  readonly after: string | null
  constructor(after: string | null) {
    this.after = after === null ? null : this.add(after)
  }
  add(value: unknown): string {
    this.values.push(value)
    return `$${this.values.length}`
  }
}

async function read(sql: Sql, { after }: { after: string | null }, build: (params: Params) => string): Promise<string[]> {
  const params = new Params(after)
  const text = build(params)
  return (await sql.query<{ id: string }>(text, params.values)).map(({ id }) => id)
}

type Lead = (filter: ListFilter, params: Params, limit: number) => string

/** What of the filter is narrow; null if nothing is. */
async function leadOf(sql: Sql, { teams, label, owners }: ListFilter): Promise<Lead | null> {
  // One owner's index holds every other column too.
  if (owners !== undefined && teams === undefined && label === undefined) return null
  const few = (text: string, params: readonly unknown[]) => isFew(sql, `select 1 from ${text}`, params)
  if (teams !== undefined && (await few('team_member where team_id = any($1::uuid[])', [teams]))) return byTeam
  if (label !== undefined && (await few('identity_label where key = $1 and value = $2', [label.key, label.value]))) return byLabel
  if (owners !== undefined && (await few('identity where owner_key = any($1::text[])', [owners]))) return byOwner
  return null
}

async function isFew(sql: Sql, text: string, params: readonly unknown[]): Promise<boolean> {
  const counted = `select count(*)::int as count from (${text} limit $${params.length + 1}) m`
  const [row] = await sql.query<{ count: number }>(counted, [...params, FEW + 1])
  return (row?.count ?? 0) <= FEW
}

const where = (conditions: readonly string[]) => (conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`)

/** Where in the order of the names; `name` is the column that the page goes by. */
function ranged({ prefix }: ListFilter, params: Params, name: string): string[] {
  const all = params.after === null ? [] : [`${name} > ${params.after}`]
  if (prefix === undefined) return all
  // Code point order: what begins so stands between the prefix and the prefix with the last code point behind it.
  const from = params.add(prefix)
  return [...all, `${name} >= ${from}`, `${name} < ${from} || U&'\\+10FFFF'`]
}

/** The conditions on the identity itself. */
const plain = (filter: ListFilter, params: Params) =>
  PLAIN.flatMap((key) => (filter[key] === undefined ? [] : [`i.${key} = ${params.add(filter[key])}`]))

const owned = ({ owners }: ListFilter, params: Params) => (owners === undefined ? [] : [`i.owner_key = any(${params.add(owners)}::text[])`])

/** Asked of each alone, by the key of the labels. */
function labelled({ label }: ListFilter, params: Params, id: string): string[] {
  if (label === undefined) return []
  const [key, value] = [params.add(label.key), params.add(label.value)]
  return [`(select l.value from identity_label l where l.identity_id = ${id} and l.key = ${key}) = ${value}`]
}

/** By the index on the identity, and not by each of the teams, which may be hundreds. */
function memberOf({ teams }: ListFilter, params: Params, id: string): string[] {
  if (teams === undefined) return []
  const known = `m.team_id in (select unnest(${params.add(teams)}::uuid[]))`
  // `is true` keeps it a set that is made once; as a join it would be gone through for each.
  return [`exists (select 1 from team_member m where m.identity_id = ${id} and (${known}) is true)`]
}

/** By name, at most `limit`: what holds all that the identity's own columns say. Several owners: each one's own page, merged. */
function candidates(filter: ListFilter, params: Params, limit: number): string {
  const most = params.add(limit)
  const held = [...ranged(filter, params, 'i.name'), ...plain(filter, params)]
  if (filter.owners === undefined) return `select i.id, i.name from identity i ${where(held)} order by i.name limit ${most}`
  return `select p.id, p.name from unnest(${params.add(filter.owners)}::text[]) k cross join lateral (
      select i.id, i.name from identity i ${where(['i.owner_key = k', ...held])} order by i.name limit ${most}) p
      order by p.name limit ${most}`
}

/** The first of the candidates, each asked whether it holds the rest. */
function probing(filter: ListFilter, params: Params, limit: number): string {
  const held = [...labelled(filter, params, 'c.id'), ...memberOf(filter, params, 'c.id')]
  return `select c.id from (${candidates(filter, params, WALK)}) c ${where(held)} order by c.name limit ${params.add(limit)}`
}

/** The name up to which `probing` asked; nothing if it asked all. */
const lastWalked = (filter: ListFilter, params: Params) =>
  `select c.name as id from (${candidates(filter, params, WALK)}) c order by c.name offset ${params.add(WALK - 1)} limit 1`

/**
 * Members and bearers as sets that are made once, and whoever is in them by name. Written as questions about each, which PostgreSQL turns
 * into sets if they fit into its memory (`is true` keeps them from being made joins), and else asks one by one.
 */
function bySets(filter: ListFilter, params: Params, limit: number): string {
  const held = [...plain(filter, params), ...owned(filter, params)]
  const most = params.add(limit)
  if (held.length === 0 && filter.label !== undefined && filter.teams !== undefined) {
    const { label, teams, ...rest } = filter
    const both = [
      `l.key = ${params.add(label.key)}`,
      `l.value = ${params.add(label.value)}`,
      ...memberSet({ teams, ...rest }, params, 'l.identity_id'),
    ]
    return `select l.identity_id as id from identity_label l ${where([...both, ...ranged(rest, params, 'l.identity_name')])}
      order by l.identity_name limit ${most}`
  }
  const all = [...ranged(filter, params, 'i.name'), ...held, ...bearerSet(filter, params), ...memberSet(filter, params, 'i.id')]
  return `select i.id from identity i ${where(all)} order by i.name limit ${most}`
}

function bearerSet({ label, ...filter }: ListFilter, params: Params): string[] {
  if (label === undefined) return []
  const held = ['l.identity_id = i.id', `l.key = ${params.add(label.key)}`, `l.value = ${params.add(label.value)}`]
  return [`(exists (select 1 from identity_label l ${where([...held, ...ranged(filter, params, 'l.identity_name')])})) is true`]
}

function memberSet(filter: ListFilter, params: Params, id: string): string[] {
  if (filter.teams === undefined) return []
  const among = [`m.team_id = any(${params.add(filter.teams)}::uuid[])`, ...ranged(filter, params, 'm.identity_name')]
  return [`(exists (select 1 from team_member m ${where([`m.identity_id = ${id}`, ...among])})) is true`]
}

const byLabel: Lead = ({ label, ...filter }, params, limit) => {
  const held = [
    `l.key = ${params.add(label?.key)}`,
    `l.value = ${params.add(label?.value)}`,
    ...ranged(filter, params, 'l.identity_name'),
    ...plain(filter, params),
    ...owned(filter, params),
    ...memberOf(filter, params, 'i.id'),
  ]
  return `select i.id from identity_label l join identity i on i.id = l.identity_id ${where(held)}
      order by l.identity_name limit ${params.add(limit)}`
}

/** Each team's own page, merged: the page of several cannot hold more of one than its own page does. */
const byTeam: Lead = ({ teams, ...filter }, params, limit) => {
  const most = params.add(limit)
  const held = [
    'm.team_id = k',
    ...ranged(filter, params, 'm.identity_name'),
    ...plain(filter, params),
    ...owned(filter, params),
    ...labelled(filter, params, 'i.id'),
  ]
  return `select distinct p.name, p.id from unnest(${params.add(teams)}::uuid[]) k cross join lateral (
      select i.id, m.identity_name as name from team_member m join identity i on i.id = m.identity_id ${where(held)}
       order by m.identity_name limit ${most}) p order by p.name limit ${most}`
}

const byOwner: Lead = (filter, params, limit) => {
  const held = [...labelled(filter, params, 'c.id'), ...memberOf(filter, params, 'c.id')]
  return `select c.id from (${candidates(filter, params, FEW)}) c ${where(held)} order by c.name limit ${params.add(limit)}`
}

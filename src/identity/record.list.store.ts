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

/** Collects parameters and hands out their places. */
class Params {
  readonly values: unknown[] = []
  add(value: unknown): string {
    this.values.push(value)
    return `$${this.values.length}`
  }
}

/** Members or bearers of a label up to this many are looked up and sorted; from more on it is cheaper to go by name and ask each. */
const FEW = 5_000

/**
 * The ids of one page in the order of their names. The text is made from the filters that are given and from nothing else, so there are
 * few texts and each has a plan that walks one index in the order of the page: that of a team's or a label's names, of an owner's, or
 * of a column's. One text with `$1 is null or …` for all would read the whole table.
 */
export async function pageIds(sql: Sql, filter: ListFilter, page: { after: string | null; limit: number }): Promise<string[]> {
  const params = new Params()
  const after = page.after === null ? null : params.add(page.after)
  const limit = params.add(page.limit)
  const text = (await builderOf(sql, filter))(filter, params, after, limit)
  return (await sql.query<{ id: string }>(text, params.values)).map(({ id }) => id)
}

/** The narrowest of what is given leads. */
async function builderOf(sql: Sql, { teams, label, owners }: ListFilter): Promise<Build> {
  if (teams !== undefined) {
    const count = 'select count(*)::int as count from (select 1 from team_member where team_id = any($1::uuid[]) limit $2) m'
    if (await isFew(sql, count, [teams])) return byTeam
  }
  if (label !== undefined) {
    const count = 'select count(*)::int as count from (select 1 from identity_label where key = $1 and value = $2 limit $3) l'
    if (await isFew(sql, count, [label.key, label.value])) return byLabel
  }
  return owners === undefined ? byColumn : byOwner
}

async function isFew(sql: Sql, text: string, params: readonly unknown[]): Promise<boolean> {
  const [row] = await sql.query<{ count: number }>(text, [...params, FEW + 1])
  return (row?.count ?? 0) <= FEW
}

type Build = (filter: ListFilter, params: Params, after: string | null, limit: string) => string

const where = (conditions: readonly string[]) => (conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`)

/** The conditions on the identity itself; `name` is the column that the page goes by. */
function conditions(filter: ListFilter, params: Params, after: string | null, name: string): string[] {
  const all = PLAIN.flatMap((key) => (filter[key] === undefined ? [] : [`i.${key} = ${params.add(filter[key])}`]))
  if (after !== null) all.push(`${name} > ${after}`)
  if (filter.prefix !== undefined) {
    // Code point order: what begins so stands between the prefix and the prefix with the last code point behind it.
    const prefix = params.add(filter.prefix)
    all.push(`${name} >= ${prefix}`, `${name} < ${prefix} || U&'\\+10FFFF'`)
  }
  return all
}

function labelHeld({ label }: ListFilter, params: Params): string[] {
  if (label === undefined) return []
  const [key, value] = [params.add(label.key), params.add(label.value)]
  return [`exists (select 1 from identity_label l where l.identity_id = i.id and l.key = ${key} and l.value = ${value})`]
}

const ownerHeld = ({ owners }: ListFilter, params: Params) =>
  owners === undefined ? [] : [`i.owner_key = any(${params.add(owners)}::text[])`]

/** By the index on the identity: the teams may be hundreds, and by those would be a probe for each. */
function memberHeld({ teams }: ListFilter, params: Params): string[] {
  if (teams === undefined) return []
  const known = params.add(teams)
  return [`exists (select 1 from team_member m where m.identity_id = i.id and array_position(${known}::uuid[], m.team_id) is not null)`]
}

/** What is held beside the columns, in the order of what it costs to ask. */
const otherHeld = (filter: ListFilter, params: Params) => [
  ...ownerHeld(filter, params),
  ...labelHeld(filter, params),
  ...memberHeld(filter, params),
]

const byColumn: Build = (filter, params, after, limit) => {
  const held = [...conditions(filter, params, after, 'i.name'), ...otherHeld(filter, params)]
  return `select i.id from identity i ${where(held)} order by i.name limit ${limit}`
}

/** Each owner's own page, merged: the page of several cannot hold more of one than its own page does. */
const byOwner: Build = ({ owners, ...filter }, params, after, limit) => {
  const held = ['i.owner_key = k', ...conditions(filter, params, after, 'i.name'), ...otherHeld(filter, params)]
  return `select p.id from unnest(${params.add(owners)}::text[]) k cross join lateral (
      select i.id, i.name from identity i ${where(held)} order by i.name limit ${limit}) p order by p.name limit ${limit}`
}

const byLabel: Build = ({ label, ...filter }, params, after, limit) => {
  const held = [
    `l.key = ${params.add(label?.key)}`,
    `l.value = ${params.add(label?.value)}`,
    ...conditions(filter, params, after, 'l.identity_name'),
    ...otherHeld(filter, params),
  ]
  return `select i.id from identity_label l join identity i on i.id = l.identity_id ${where(held)}
      order by l.identity_name limit ${limit}`
}

const byTeam: Build = ({ teams, ...filter }, params, after, limit) => {
  const held = ['m.team_id = k', ...conditions(filter, params, after, 'm.identity_name'), ...otherHeld(filter, params)]
  return `select distinct p.name, p.id from unnest(${params.add(teams)}::uuid[]) k cross join lateral (
      select i.id, m.identity_name as name from team_member m join identity i on i.id = m.identity_id ${where(held)}
       order by m.identity_name limit ${limit}) p order by p.name limit ${limit}`
}

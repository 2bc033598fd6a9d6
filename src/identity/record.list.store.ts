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

/**
 * The ids of one page in the order of their names. The text is made from the filters that are given and from nothing else, so there are
 * few texts and each has a plan that walks one index in the order of the page: that of a team's or a label's names, of an owner's, or
 * of a column's. One text with `$1 is null or …` for all would read the whole table.
 */
export async function pageIds(sql: Sql, filter: ListFilter, page: { after: string | null; limit: number }): Promise<string[]> {
  const params = new Params()
  const after = page.after === null ? null : params.add(page.after)
  const limit = params.add(page.limit)
  const text = filter.teams ? byTeam : filter.label ? byLabel : filter.owners ? byOwner : byColumn
  const rows = await sql.query<{ id: string }>(text(filter, params, after, limit), params.values)
  return rows.map(({ id }) => id)
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

const byColumn: Build = (filter, params, after, limit) =>
  `select i.id from identity i ${where(conditions(filter, params, after, 'i.name'))} order by i.name limit ${limit}`

/** Each owner's own page, merged: the page of several cannot hold more of one than its own page does. */
const byOwner: Build = (filter, params, after, limit) => {
  const owners = params.add(filter.owners)
  const held = ['i.owner_key = k', ...conditions(filter, params, after, 'i.name')]
  return `select p.id from unnest(${owners}::text[]) k cross join lateral (
      select i.id, i.name from identity i ${where(held)} order by i.name limit ${limit}) p order by p.name limit ${limit}`
}

const byLabel: Build = (filter, params, after, limit) => {
  const { key, value } = filter.label ?? { key: '', value: '' }
  const held = [`l.key = ${params.add(key)}`, `l.value = ${params.add(value)}`, ...conditions(filter, params, after, 'l.identity_name')]
  held.push(...ownerHeld(filter, params))
  return `select i.id from identity_label l join identity i on i.id = l.identity_id ${where(held)}
      order by l.identity_name limit ${limit}`
}

const byTeam: Build = (filter, params, after, limit) => {
  const teams = params.add(filter.teams)
  const held = ['m.team_id = k', ...conditions(filter, params, after, 'm.identity_name')]
  held.push(...ownerHeld(filter, params), ...labelHeld(filter, params))
  return `select distinct p.name, p.id from unnest(${teams}::uuid[]) k cross join lateral (
      select i.id, m.identity_name as name from team_member m join identity i on i.id = m.identity_id ${where(held)}
       order by m.identity_name limit ${limit}) p order by p.name limit ${limit}`
}

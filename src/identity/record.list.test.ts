/** Pages of the record under every filter and every two of them: the same as going through all by hand, and by indexes alone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import type { Sql } from '../store/index.ts'
import { FILTERS, fill, PAIRS } from './record.kit.ts'
import { type IdentityFilter, listIdentities } from './record.list.ts'

/** So many that some teams and labels are too wide to lead, and some are not. */
const COUNT = 20_000
const LIMIT = 60
const PLACES = [undefined, 'm', 'y'] as const
const ALL = Object.entries({ 'no filter': {}, ...FILTERS, ...PAIRS })

let db: TestDatabase
let everybody: Known[] = []
beforeAll(async () => {
  db = await freshDatabase()
  await fill(db.store, COUNT)
  await db.store.query('vacuum analyze')
  everybody = await db.store.query<Known>(
    `with recursive above(identity_id, id) as (
       select identity_id, team_id from team_member
       union
       select a.identity_id, n.parent_id from team_nesting n join above a on n.child_id = a.id)
     select i.name, i.kind, i.status, i.environment, i.tenancy, i.source, o.name as owner,
            (select jsonb_object_agg(l.key, l.value) from identity_label l where l.identity_id = i.id) as labels, t.teams
       from identity i join team o on o.id = i.owner_team_id
       left join (select a.identity_id, array_agg(t.name) as teams from above a join team t on t.id = a.id group by 1) t
         on t.identity_id = i.id`,
  )
  everybody.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}, 120_000)
afterAll(() => db.drop())

interface Known {
  readonly name: string
  readonly owner: string
  readonly labels: Readonly<Record<string, string>>
  readonly teams: readonly string[] | null
  readonly [column: string]: unknown
}

function holds(it: Known, { team, label, prefix, ...columns }: IdentityFilter): boolean {
  if (team !== undefined && !it.teams?.includes(team)) return false
  if (label !== undefined && it.labels[label.key] !== label.value) return false
  return it.name.startsWith(prefix ?? '') && Object.entries(columns).every(([column, value]) => it[column] === value)
}

const ask = (sql: Sql, filter: IdentityFilter, after: string | undefined) =>
  listIdentities(sql, filter, { limit: LIMIT, ...(after !== undefined && { after }) })

test('every filter and every two: a page holds what going through all of them by hand finds', async () => {
  const wrong: string[] = []
  let found = 0
  for (const [name, filter] of ALL) {
    const all = everybody.filter((it) => holds(it, filter)).map((it) => it.name)
    for (const after of PLACES) {
      const expected = all.filter((one) => after === undefined || one > after).slice(0, LIMIT)
      const page = (await ask(db.store, filter, after)).map((it) => it.name)
      found += page.length
      if (JSON.stringify(page) !== JSON.stringify(expected)) wrong.push(`${name} after ${after}: ${page.length} of ${expected.length}`)
    }
  }
  expect(wrong).toEqual([])
  expect(found, 'most pages are not empty').toBeGreaterThan(ALL.length * LIMIT)
}, 120_000)

interface Node {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Actual Rows'?: number
  readonly 'Actual Loops'?: number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly Node[]
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)]
/** Rows that it took from its index, whether it kept them or not. */
const touched = (node: Node) => ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 1)

/** Every statement is explained as it runs, under the settings that Rekey's connections have. */
function explaining(found: Node[]): Sql {
  return {
    async query<Row extends object>(text: string, params?: readonly unknown[]): Promise<Row[]> {
      const explained = await db.store.query<{ 'QUERY PLAN': { Plan: Node }[] }>(
        `explain (analyze, timing off, format json) ${text}`,
        params ?? [],
      )
      found.push(...explained.flatMap((row) => row['QUERY PLAN'].map(({ Plan }) => Plan)))
      return db.store.query<Row>(text, params)
    },
  }
}

const TABLES = ['identity', 'identity_label', 'team_member', 'team', 'team_nesting']

describe('the plans', () => {
  test.each(ALL.filter(([, filter]) => Object.keys(filter).length <= 1))(
    '%s: goes by an index, and not through the whole of one',
    async (_name, filter) => {
      const plans: Node[] = []
      await ask(explaining(plans), filter, undefined)
      const onTables = plans.flatMap(nodesOf).filter((node) => TABLES.includes(node['Relation Name'] ?? ''))
      expect(plans.length).toBeGreaterThan(0)
      expect(onTables.filter((node) => node['Index Name'] === undefined)).toEqual([])
      // A page, its labels, owners and teams; of a wide team or label the count that says so, and at most some thousand that are asked.
      expect(Math.max(...onTables.map(touched))).toBeLessThan(6_000)
    },
  )

  test('two filters: by indexes alone; what is wide and excludes each other is found out in sets', async () => {
    const [bare, dear]: [string[], string[]] = [[], []]
    for (const [name, filter] of Object.entries(PAIRS)) {
      const plans: Node[] = []
      await ask(explaining(plans), filter, undefined)
      const onTables = plans.flatMap(nodesOf).filter((node) => TABLES.includes(node['Relation Name'] ?? ''))
      if (onTables.some((node) => node['Index Name'] === undefined)) bare.push(name)
      // A probe for each of many rows shows as loops; a set is one loop.
      if (onTables.some((node) => (node['Actual Loops'] ?? 0) > 6_000)) dear.push(name)
      if (onTables.reduce((sum, node) => sum + touched(node), 0) > 3 * COUNT) dear.push(name)
    }
    expect(bare).toEqual([])
    expect(dear).toEqual([])
  }, 180_000)
})

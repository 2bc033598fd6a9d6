import { expect, test } from 'vitest'
import { cyclesIn } from './cycles.ts'
import { namesIn, tablesIn } from './tables.ts'

const TABLES = ['system', 'credential', 'rotation']

test.each([
  ['select * from credential where id = $1', ['credential']],
  ['SELECT r.id FROM rotation r JOIN "credential" c ON c.id = r.credential_id', ['rotation', 'credential']],
  ['insert into public.rotation (id) values ($1)', ['rotation']],
  ['update system set name = $1', ['system']],
  ['delete from only rotation', ['rotation']],
  ['select 1 from unknown, rotation r where true', ['rotation']],
  ['left join system s on true', ['system']],
  ['lock table credential in share mode', ['credential']],
  ['truncate rotation', ['rotation']],
  ['select 1 from credential_archive', []],
  ['Removed from credential storage.', []],
  ['The update of system orders-db was refused.', []],
])('%s names %j', (text, names) => {
  expect(namesIn(text, TABLES)).toEqual(names)
})

test('tables of a migration, without comments', () => {
  const sql = '-- create table old (\ncreate table a (id int);\nCREATE UNLOGGED TABLE IF NOT EXISTS public."b" ();/* create table c () */'
  expect(tablesIn(sql)).toEqual(['a', 'b'])
})

test('cycles are named by their path', () => {
  const graph = { a: ['b'], b: ['c', 'leaf'], c: ['a'], d: ['d'], e: ['a', 'b'] }
  expect(cyclesIn(new Map(Object.entries(graph)))).toEqual([
    ['a', 'b', 'c', 'a'],
    ['d', 'd'],
  ])
  expect(cyclesIn(new Map(Object.entries({ a: ['b', 'c'], b: ['d'], c: ['d'] })))).toEqual([])
})

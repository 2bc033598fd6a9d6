/** Values that somebody with the database could write into a column: wrong, and storable. */
import type { Sql, Store } from '../../src/store/index.ts'

const JSON_VALUES = ['{"x":1}', '{"facts":{"a":{"b":[]}}}', '[null]', '1', 'null']
const TIMES = ["'infinity'", "'294276-01-01'"]
const VALUES: Readonly<Record<string, readonly string[]>> = {
  jsonb: JSON_VALUES.map((value) => `'${value}'::jsonb`),
  timestamptz: TIMES.map((value) => `${value}::timestamptz`),
  text: ["'__proto__'"],
  int2: ['-1', '32767'],
  int4: ['-1', '2147483647'],
  int8: ['-1', '9223372036854775807'],
  float8: ["'NaN'::float8"],
  bytea: ["''::bytea"],
  uuid: ["'01890000-0000-7000-8000-000000000000'::uuid"],
  _text: ["array['', null]::text[]", "'{{a,b},{c,d}}'::text[]"],
  _uuid: ["'{01890000-0000-7000-8000-000000000000,NULL}'::uuid[]"],
}

class Undo extends Error {}

/**
 * Writes each such value into every column of these tables, one at a time, in all rows or (where that may not be) in one, and calls
 * `look` while it stands; nothing stays. Constraints hold, triggers and references do not. Resolves with how many could be stored,
 * and with what `look` threw, by column and value.
 */
export async function withWrongValues(store: Store, tables: readonly string[], look: (sql: Sql) => Promise<unknown>) {
  const thrown: string[] = []
  let stored = 0
  const columns = await store.query<{ table: string; column: string; type: string }>(
    `select table_name as "table", column_name as "column", udt_name as type from information_schema.columns
      where table_schema = current_schema() and table_name = any($1) and is_generated = 'NEVER' and is_identity = 'NO'
      order by table_name, ordinal_position`,
    [tables],
  )
  for (const { table, column, type } of columns) {
    for (const value of ['null', ...(VALUES[type] ?? [`not "${column}"`])]) {
      for (const rows of ['true', `ctid = (select max(ctid) from ${table})`]) {
        const isStored = await during(store, `update ${table} set "${column}" = ${value} where ${rows} returning 1`, async (sql) => {
          stored++
          await look(sql).catch((error: unknown) => thrown.push(`${table}.${column} = ${value}: ${String(error)}`))
        })
        if (isStored) break
      }
    }
  }
  return { stored, thrown }
}

/** False if the database refuses the statement, or it changes no row. */
async function during(store: Store, statement: string, use: (sql: Sql) => Promise<void>): Promise<boolean> {
  let isStored = false
  const work = store.inTx(async (tx) => {
    await tx.query("set local session_replication_role = 'replica'")
    isStored = (await tx.query(statement)).length > 0
    if (isStored) await use(tx)
    throw new Undo()
  })
  await work.catch(() => undefined)
  return isStored
}

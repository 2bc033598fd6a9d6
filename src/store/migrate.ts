import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'
import type { Sql, Store, Tx } from './tx.ts'

/** Oldest server that is tested. */
const OLDEST_SERVER = 150_000
/** Any fixed number: one lock name for all processes that migrate. */
const MIGRATION_LOCK = 7_395_001

interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
}

/** The numbered files of `schema/`, in order. Throws `internal` if a number is missing or stands twice. */
function readMigrations(folder: string): Migration[] {
  const found = readdirSync(folder)
    .filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name))
    .sort()
    .map((name) => ({ number: Number(name.slice(0, 4)), name, sql: readFileSync(join(folder, name), 'utf8') }))
  found.forEach((migration, index) => {
    if (migration.number !== index + 1) throw new RekeyError('internal', `schema/${migration.name} should have number ${index + 1}.`)
  })
  return found
}

async function refuseOldServer(tx: Tx): Promise<void> {
  const [row] = await tx.query<{ version: number }>("select current_setting('server_version_num')::int as version")
  if ((row?.version ?? 0) >= OLDEST_SERVER) return
  throw new RekeyError('database_unsupported', `The database server is too old (${row?.version ?? 'unknown'}).`, {
    hint: 'Use PostgreSQL 15 or newer.',
  })
}

function refuseNewer(applied: ReadonlyMap<number, string>, known: readonly Migration[]): void {
  const newest = Math.max(0, ...applied.keys())
  if (newest <= known.length) return
  throw new RekeyError('database_newer', `The database is at schema ${newest}; this program knows ${known.length}.`, {
    hint: 'Start a newer Rekey. Nothing was changed.',
  })
}

/**
 * Brings the schema up to date, all files in one transaction under a lock, so that any number of processes may start at once.
 * `afterwards` does, in the same transaction and also where no file was applied, what plain SQL cannot. Resolves with how many files it
 * applied. Throws `database_newer`, `database_unsupported`, or `database_failed` if a file that was applied has been edited since.
 */
export async function migrate(store: Store, folder: string, afterwards?: (tx: Tx) => Promise<void>): Promise<number> {
  const known = readMigrations(folder)
  return store.inTx(async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    await refuseOldServer(tx)
    await tx.query(`create table if not exists schema_migration (
      number integer primary key, name text not null, md5 text not null, applied_at timestamptz not null default now())`)
    const rows = await tx.query<{ number: number; md5: string }>('select number, md5 from schema_migration')
    const applied = new Map(rows.map((row) => [row.number, row.md5]))
    refuseNewer(applied, known)
    let count = 0
    for (const file of known) {
      const [sum] = await tx.query<{ md5: string }>('select md5($1::text) as md5', [file.sql])
      const before = applied.get(file.number)
      if (before === sum?.md5) continue
      if (before !== undefined) throw new RekeyError('database_failed', `schema/${file.name} was edited after it was applied.`)
      await tx.query(file.sql)
      await tx.query('insert into schema_migration (number, name, md5) values ($1, $2, $3)', [file.number, file.name, sum?.md5])
      count++
    }
    await afterwards?.(tx)
    return count
  })
}

/**
 * Throws unless the schema is that of this program: `wrong_state` if it is older or was never made, `database_newer`,
 * `database_failed` if a file that was applied has been edited since. Writes nothing.
 */
export async function checkSchema(sql: Sql, folder: string): Promise<void> {
  const known = readMigrations(folder)
  const [table] = await sql.query<{ made: boolean }>("select to_regclass('schema_migration') is not null as made")
  const rows = table?.made === true ? await sql.query<{ number: number; md5: string }>('select number, md5 from schema_migration') : []
  const applied = new Map(rows.map((row) => [row.number, row.md5]))
  refuseNewer(applied, known)
  for (const file of known) {
    const before = applied.get(file.number)
    if (before === undefined) {
      throw new RekeyError('wrong_state', `The database is at schema ${applied.size}; this program needs ${known.length}.`, {
        hint: 'Start Rekey once, which brings it up to date.',
      })
    }
    const [sum] = await sql.query<{ md5: string }>('select md5($1::text) as md5', [file.sql])
    if (before !== sum?.md5) throw new RekeyError('database_failed', `schema/${file.name} was edited after it was applied.`)
  }
}

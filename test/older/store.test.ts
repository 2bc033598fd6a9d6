/**
 * What Rekey does on its own database, tried again on the oldest PostgreSQL that it is said to run on: the tests of the embedded one, as
 * they are. A machine without such a PostgreSQL says so.
 */
import { expect, test } from 'vitest'
import { freshDatabase, makeDatabasesWith } from '../lab/database.ts'
import { olderPostgres } from '../lab/postgres.ts'

const [older] = olderPostgres()

if (older) {
  makeDatabasesWith(older)
  await import('../../src/store/store.test.ts')
  await import('../../src/identity/record.fold.test.ts')
  await import('../../src/evidence/database.test.ts')
  await import('../../src/evidence/fsck.test.ts')
  await import('../../src/credential/fsck.test.ts')
  await import('../../src/credential/rotation.postgres.test.ts')
} else {
  console.warn('SKIPPED: the tests of the database on PostgreSQL 15, 16 or 17, because none is installed')
}

test.skipIf(!older)('these databases are on PostgreSQL 15, 16 or 17', async () => {
  const db = await freshDatabase()
  const [row] = await db.store.query<{ major: number }>("select current_setting('server_version_num')::int / 10000 as major")
  await db.drop()
  expect(row?.major).toBe(older?.version)
})

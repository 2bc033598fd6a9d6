/** The connector's contract on every PostgreSQL 15 to 17 of this machine; a machine without one says so. */
import { expect, test } from 'vitest'
import { contractSuite } from '../../src/connectors/contract.kit.ts'
import { startLab } from '../lab/postgres.contract.ts'
import { olderPostgres } from '../lab/postgres.ts'

const older = olderPostgres()
if (older.length === 0) console.warn('SKIPPED: the connector on PostgreSQL 15, 16 or 17, because none is installed')

for (const { version, programs } of older) contractSuite(`PostgreSQL ${version}`, () => startLab({ programs }))

test.skipIf(older.length === 0)('the laboratory runs the PostgreSQL that it says', async () => {
  for (const { version, programs } of older) {
    const lab = await startLab({ programs })
    const [row] = await lab.server.query<{ major: number }>("select current_setting('server_version_num')::int / 10000 as major")
    await lab.stop()
    expect(row?.major).toBe(version)
  }
})

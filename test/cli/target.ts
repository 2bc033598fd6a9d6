/**
 * A real PostgreSQL for scripts to rotate on: `start target 'ready on (?<TARGET>\d+)' $NODE $ROOT/test/cli/target.ts ACCOUNT…`. Makes each
 * account with a password of its own, and writes `ACCOUNT.secret` and `root.secret` into the working folder. Lives until SIGTERM.
 */
import { writeFileSync } from 'node:fs'
import { startPostgres } from '../lab/postgres.ts'

const ROOT_ACCOUNT = 'rekey_root'
const accounts = process.argv.slice(2)
const server = await startPostgres({ fsync: false })
for (const account of [ROOT_ACCOUNT, ...accounts]) {
  const password = `${account}-${crypto.randomUUID()}`
  const rights = account === ROOT_ACCOUNT ? 'superuser' : ''
  await server.query(`create role ${account} login ${rights} password '${password}'`)
  writeFileSync(account === ROOT_ACCOUNT ? 'root.secret' : `${account}.secret`, `${password}\n`, { mode: 0o600 })
}
process.once('SIGTERM', () => void server.stop())
console.log(`ready on ${server.port}`)

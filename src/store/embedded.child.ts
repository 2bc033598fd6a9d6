/** For tests: starts the embedded database, commits a row, prints the server's pid, and dies without a word, stays or stops in order. */
import { makeCtx, silentLog } from '../kernel/index.ts'
import { openStore, startEmbedded } from './index.ts'

const [, , data = '', then] = process.argv
const database = await startEmbedded(makeCtx('child', 'child'), data)
const store = openStore({ connection: database.connection, max: 1, log: silentLog })
await store.query('create table if not exists kept as select 1 as x')
process.stdout.write(String(database.pid))
if (then === 'die') process.kill(process.pid, 'SIGKILL')
if (then === 'stay') await new Promise(() => setInterval(() => undefined, 1_000))
await store.close()
await database.stop()

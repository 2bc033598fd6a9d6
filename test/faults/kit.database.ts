import { silentLog } from '../../src/kernel/index.ts'
import { migrate, openStore } from '../../src/store/index.ts'
import { SCHEMA_FOLDER, type TestDatabase } from '../lab/database.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { type Proxy as Hop, startProxy } from '../lab/proxy.ts'

/** A database for Rekey on a server of its own, which may be harmed. */
export interface OwnDatabase {
  readonly server: LabPostgres
  /** Between Rekey and the server. */
  readonly hop: Hop
  readonly db: TestDatabase
  stop(): Promise<void>
}

/** Starts the server, where FILE_FOLDER (test/lab/copies.ts) says, and brings the schema in. */
export async function startOwnDatabase(): Promise<OwnDatabase> {
  const server = await startPostgres()
  await server.query('create database rekey')
  const { account: user, secret } = server.superuser
  const hop = await startProxy(server)
  const connection = { host: server.host, port: hop.port, user, password: secret.revealText((text) => text), database: 'rekey' }
  const store = openStore({ connection, max: 10, log: silentLog })
  await migrate(store, SCHEMA_FOLDER)
  return {
    server,
    hop,
    db: { store, connection, drop: () => store.close() },
    async stop() {
      await hop.stop()
      await server.stop()
    },
  }
}

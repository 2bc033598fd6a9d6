import { appendFileSync, chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { makeCtx, newId, silentLog, systemClock } from '../../src/kernel/index.ts'
import { findPlaces } from '../../src/store/embedded.cluster.ts'
import { migrate, openStore, type Store, startEmbedded } from '../../src/store/index.ts'
import { recordedScanner } from '../canary/recorder.ts'
import { describeFinds } from '../canary/scanner.ts'
import { copyOf, serverFolder } from './copies.ts'
import { type OlderPostgres, startPostgres } from './postgres.ts'

export const SCHEMA_FOLDER = new URL('../../schema', import.meta.url).pathname

export interface TestDatabase {
  readonly store: Store
  readonly connection: pg.ClientConfig
  /** Closes the pool and drops the database. */
  drop(): Promise<void>
}

/** Any server on which databases of tests are made. `connection` is to the template, a superuser's. */
interface Server {
  readonly connection: pg.ClientConfig
  /** What the server wrote lies in here; still there after `end`. */
  readonly folder: string
  end(): Promise<void>
}

interface Running extends Server {
  readonly admin: Store
  readonly sinceMs: number
}

/** One server per test process, started at first use, stopped with the process. */
let server: Promise<Running> | undefined
let start: () => Promise<Server> = embedded

/** The databases of this test file are made on these programs and not on the embedded PostgreSQL. Called before the first is made. */
export function makeDatabasesWith({ programs }: OlderPostgres): void {
  start = async () => {
    const lab = await startPostgres({ programs, fsync: false })
    await lab.query('create database rekey')
    const { host, port, folder, superuser } = lab
    const password = superuser.secret.revealText((text) => text)
    return { connection: { host, port, database: 'rekey', user: superuser.account, password }, folder, end: () => lab.halt() }
  }
}

async function embedded(): Promise<Server> {
  const folder = mkdtempSync(join(serverFolder(), 'rekey-test-'))
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  await copyCluster(data)
  const database = await startEmbedded(makeCtx('test', 'lab'), data)
  // When a hook fails vitest may skip the others: the server must not outlive the process.
  process.once('exit', () => {
    try {
      process.kill(database.pid, 'SIGINT')
    } catch {
      // It has ended already, as it should.
    }
  })
  return { connection: database.connection, folder, end: () => database.stop() }
}

/**
 * For a data folder, which it makes, in a run of tests: a copy of the cluster that the product made, with the schema in it. No power cut
 * is tried on it, so nothing waits for the disk (making and dropping a database wait most). A benchmark gets none: it makes its own, as
 * the product does.
 */
export async function copyCluster(data: string): Promise<void> {
  mkdirSync(data, { mode: 0o711 })
  const { cluster, socket } = await findPlaces(data)
  const copied = await copyOf('cluster', cluster, async (made) => {
    const making = `${made}.data`
    const database = await startEmbedded(makeCtx('test', 'lab'), making)
    try {
      await bringSchemaIn(database.connection)
    } finally {
      await database.stop()
    }
    renameSync((await findPlaces(making)).cluster, made)
  })
  // The last line of a name counts.
  if (copied) appendFileSync(join(cluster, 'postgresql.conf'), `unix_socket_directories = '${socket.replaceAll("'", "''")}'\nfsync = off\n`)
}

async function bringSchemaIn(connection: pg.ClientConfig): Promise<void> {
  const template = openStore({ connection, max: 1, log: silentLog })
  try {
    await migrate(template, SCHEMA_FOLDER)
  } finally {
    await template.close()
  }
}

async function startServer(): Promise<Running> {
  const database = await start()
  // What lay there before, and was not written since, knows no secret of these tests. A second for clocks of coarse file systems.
  const sinceMs = systemClock.now().getTime() - 1000
  try {
    await bringSchemaIn(database.connection)
  } catch (error) {
    await database.end()
    throw error
  }
  const admin = openStore({ connection: { ...database.connection, database: 'postgres' }, max: 2, log: silentLog })
  return { ...database, admin, sinceMs }
}

/** A database of its own, cloned from the migrated template. */
export async function freshDatabase(): Promise<TestDatabase> {
  server ??= startServer()
  const { connection: template, admin } = await server
  const name = `t_${newId().replaceAll('-', '')}`
  await admin.query(`create database ${name} template rekey`)
  const connection = { ...template, database: name }
  const store = openStore({ connection, max: 10, log: silentLog })
  return {
    store,
    connection,
    async drop() {
      await store.close()
      await admin.query(`drop database ${name} with (force)`)
    },
  }
}

/**
 * Stops the server, looks in its folder (tables, WAL, log) for every secret that the file's tests made, and removes it; called once
 * per test file by test/setup.ts. Throws if one is there in the clear.
 */
export async function stopServer(): Promise<void> {
  if (server === undefined) return
  const { end, admin, folder, sinceMs } = await server
  server = undefined
  await admin.close()
  await end()
  const { finds } = recordedScanner().folder(folder, (path) => lstatSync(path).mtimeMs >= sinceMs)
  rmSync(folder, { recursive: true, force: true })
  if (finds.length > 0) throw new Error(describeFinds(finds))
}

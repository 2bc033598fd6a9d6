import { chmodSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { makeCtx, newId, silentLog, systemClock } from '../../src/kernel/index.ts'
import { type EmbeddedDatabase, migrate, openStore, type Store, startEmbedded } from '../../src/store/index.ts'
import { recordedScanner } from '../canary/recorder.ts'
import { describeFinds } from '../canary/scanner.ts'

export const SCHEMA_FOLDER = new URL('../../schema', import.meta.url).pathname

export interface TestDatabase {
  readonly store: Store
  readonly connection: pg.ClientConfig
  /** Closes the pool and drops the database. */
  drop(): Promise<void>
}

/** One server per test process, started at first use, stopped with the process. */
let server: Promise<{ database: EmbeddedDatabase; admin: Store; folder: string; sinceMs: number }> | undefined

async function startServer() {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-test-'))
  chmodSync(folder, 0o711)
  const database = await startEmbedded(makeCtx('test', 'lab'), join(folder, 'data'))
  // When a hook fails vitest may skip the others: the server must not outlive the process.
  process.once('exit', () => {
    try {
      process.kill(database.pid, 'SIGINT')
    } catch {
      // It has ended already, as it should.
    }
  })
  // What lay there before, and was not written since, knows no secret of these tests. A second for clocks of coarse file systems.
  const sinceMs = systemClock.now().getTime() - 1000
  const template = openStore({ connection: database.connection, max: 1, log: silentLog })
  try {
    await migrate(template, SCHEMA_FOLDER)
  } catch (error) {
    await database.stop()
    throw error
  } finally {
    await template.close()
  }
  const admin = openStore({ connection: { ...database.connection, database: 'postgres' }, max: 2, log: silentLog })
  return { database, admin, folder, sinceMs }
}

/** A database of its own, cloned from the migrated template. */
export async function freshDatabase(): Promise<TestDatabase> {
  server ??= startServer()
  const { database, admin } = await server
  const name = `t_${newId().replaceAll('-', '')}`
  await admin.query(`create database ${name} template rekey`)
  const connection = { ...database.connection, database: name }
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
  const { database, admin, folder, sinceMs } = await server
  server = undefined
  await admin.close()
  await database.stop()
  const { finds } = recordedScanner().folder(folder, (path) => lstatSync(path).mtimeMs >= sinceMs)
  rmSync(folder, { recursive: true, force: true })
  if (finds.length > 0) throw new Error(describeFinds(finds))
}

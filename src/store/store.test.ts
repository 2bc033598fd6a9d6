import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, SCHEMA_FOLDER, type TestDatabase } from '../../test/lab/database.ts'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { startProxy } from '../../test/lab/proxy.ts'
import { isCode, RekeyError, silentLog } from '../kernel/index.ts'
import { Batcher, checkSchema, connectionFromUrl, isDatabaseLost, migrate, openStore } from './index.ts'

/** ReadyForQuery, idle: the end of a login. */
const READY = Buffer.from('5a0000000549', 'hex')
/** What a server says that an administrator ends: ErrorResponse, FATAL, 57P01. */
const FIELDS = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0')
const GONE = Buffer.concat([Buffer.from('E'), Buffer.from([0, 0, 0, FIELDS.length + 4]), FIELDS])

let db: TestDatabase
let server: LabPostgres
beforeAll(async () => {
  ;[db, server] = await Promise.all([freshDatabase(), startPostgres()])
})
afterAll(() => Promise.all([db.drop(), server.stop()]))

test('migrating a migrated database does nothing', async () => {
  expect(await migrate(db.store, SCHEMA_FOLDER)).toBe(0)
})

test.each(['require', 'verify-ca', 'verify-full'])('sslmode=%s of a server that offers no TLS says so, and what to do', async (mode) => {
  const password = server.superuser.secret.revealText((text) => text)
  const url = `postgres://${server.superuser.account}:${password}@${server.host}:${server.port}/postgres`
  const store = openStore({ connection: connectionFromUrl(`${url}?sslmode=${mode}`), max: 1, log: silentLog })
  try {
    const error: unknown = await store.query('select 1').catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'unavailable',
      message: 'The database server offers no TLS, and DATABASE_URL asks for it.',
      hint: expect.stringMatching(/ssl = on.*sslmode=disable/),
    })
    expect(isDatabaseLost(error)).toBe(true)
    expect(inspect(error)).not.toContain(password)
    await expect(store.listen('x', () => undefined)).rejects.toMatchObject({ hint: expect.stringContaining('sslmode=disable') })
  } finally {
    await store.close()
  }
})

test('a store opened for reading only reads, and the server refuses whatever would write', async () => {
  const store = openStore({ connection: db.connection, max: 1, log: silentLog, readOnly: true })
  try {
    await checkSchema(store, SCHEMA_FOLDER)
    await expect(store.query('delete from kek')).rejects.toSatisfy((error) => isCode(error, 'database_failed'))
    await expect(store.inTx((tx) => tx.query('delete from kek'))).rejects.toSatisfy((error) => isCode(error, 'database_failed'))
  } finally {
    await store.close()
  }
})

test('what is said to come later happens with the transaction, and fails all of it with its own fault', async () => {
  await db.store.query('create table page (n int primary key)')
  const all = async () => (await db.store.query<{ n: number }>('select n from page order by n')).map(({ n }) => n)
  const insert = 'insert into page (n) values ($1)'
  const kept = await db.store.inTx(async (tx) => {
    tx.later(insert, [1])
    return tx.query('select n from page')
  })
  expect(kept).toEqual([{ n: 1 }])
  const twice = expect.objectContaining({ code: 'database_failed', detail: expect.stringContaining('23505 page_pkey') })
  const last = db.store.inTx(async (tx) => {
    await tx.query(insert, [2])
    tx.later(insert, [1])
  })
  await expect(last).rejects.toEqual(twice)
  const between = db.store.inTx(async (tx) => {
    tx.later(insert, [1])
    await tx.query(insert, [3])
  })
  await expect(between).rejects.toEqual(twice)
  const refused = db.store.inTx(async (tx) => {
    tx.later(insert, [4])
    throw new RekeyError('conflict', 'No.')
  })
  await expect(refused).rejects.toMatchObject({ code: 'conflict' })
  expect(await all()).toEqual([1])
})

test('a transaction that goes on after a statement failed does not count as committed', async () => {
  const went = db.store.inTx(async (tx) => {
    await tx.query('select 1 / 0').catch(() => undefined)
    return 'done'
  })
  await expect(went).rejects.toMatchObject({ code: 'database_failed', message: expect.stringContaining('undid') })
})

test('a schema that is not up to date is told, and not brought up to date, by what only reads', async () => {
  await db.store.query('update schema_migration set number = 99 where number = 3')
  await expect(checkSchema(db.store, SCHEMA_FOLDER)).rejects.toSatisfy((error) => isCode(error, 'database_newer'))
  await db.store.query('alter table schema_migration rename to elsewhere')
  await expect(checkSchema(db.store, SCHEMA_FOLDER)).rejects.toSatisfy((error) => isCode(error, 'wrong_state'))
  await db.store.query('alter table elsewhere rename to schema_migration')
  await db.store.query('update schema_migration set number = 3 where number = 99')
})

test('a database that is newer than the program is refused and left alone', async () => {
  await db.store.query("insert into schema_migration (number, name, md5) values (9999, 'later', 'x')")
  await expect(migrate(db.store, SCHEMA_FOLDER)).rejects.toSatisfy((error) => isCode(error, 'database_newer'))
  await db.store.query('delete from schema_migration where number = 9999')
})

test('a migration that was edited after it was applied is refused', async () => {
  await db.store.query("update schema_migration set md5 = 'other' where number = 1")
  await expect(migrate(db.store, SCHEMA_FOLDER)).rejects.toSatisfy((error) => isCode(error, 'database_failed'))
})

test('a transaction that fails leaves nothing', async () => {
  const failing = db.store.inTx(async (tx) => {
    await tx.query('create table half (x int)')
    throw new Error('stop')
  })
  await expect(failing).rejects.toThrow('stop')
  expect(await db.store.query("select 1 as x from pg_class where relname = 'half'")).toEqual([])
})

test('a notice reaches a listener, also after its connection was killed', async () => {
  const seen: string[] = []
  const stop = await db.store.listen('nudge', (payload) => seen.push(payload))
  await db.store.query("select pg_notify('nudge', 'one')")
  await expect.poll(() => seen).toContain('one')
  await db.store.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rekey-listen' and datname = current_database()",
  )
  await expect.poll(() => seen).toContain('')
  await db.store.query("select pg_notify('nudge', 'two')")
  await expect.poll(() => seen).toContain('two')
  await stop()
})

test('a connection that is ended in the same packet as its login ends nothing but itself', async () => {
  const { host, port, superuser } = server
  const hop = await startProxy({ host, port })
  const connection = {
    host,
    port: hop.port,
    user: superuser.account,
    password: superuser.secret.revealText((text) => text),
    database: 'postgres',
  }
  const store = openStore({ connection, max: 1, log: silentLog })
  let ended = 0
  hop.rewriteReplies((reply) => {
    if (ended > 0 || !reply.subarray(-READY.length).equals(READY)) return reply
    ended++
    return Buffer.concat([reply, GONE])
  })
  try {
    await expect(store.query('select 1 as x')).rejects.toSatisfy((error) => isCode(error, 'unavailable'))
    expect(ended).toBe(1)
    expect(await store.query('select 1 as x')).toEqual([{ x: 1 }])
  } finally {
    await store.close()
    await hop.stop()
  }
})

test('a statement that waits for a lock does not keep the pool from closing; one that ends soon is waited for', async () => {
  await db.store.query('create table locked (n integer)')
  await db.store.inTx(async (holder) => {
    await holder.query('lock table locked in access exclusive mode')
    const store = openStore({ connection: db.connection, max: 2, log: silentLog })
    const waits = store.query('insert into locked values (1)').catch((error: unknown) => error)
    const ends = store.query<{ n: number }>('select 2 as n from pg_sleep(0.3)')
    await expect
      .poll(() => db.store.query("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'insert into locked%'"))
      .toHaveLength(1)
    await store.close()
    expect(await waits).toMatchObject({ code: 'unavailable' })
    expect(await ends).toEqual([{ n: 2 }])
  })
  await expect
    .poll(() => db.store.query("select 1 from pg_stat_activity where query like 'insert into locked%' and state = 'active'"), {
      timeout: 10_000,
    })
    .toEqual([])
  await db.store.query('drop table locked')
})

test('a batch commits many in one go, and one bad item does not fail its neighbours', async () => {
  let commits = 0
  const batcher = new Batcher<number, number>(async (items) => {
    commits++
    if (items.includes(3)) throw new Error('bad')
    return items.map((item) => item * 2)
  }, 100)
  const results = await Promise.allSettled([1, 2, 3, 4].map((item) => batcher.submit(item)))
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value : 'bad'))).toEqual([2, 4, 'bad', 8])
  expect(commits).toBeLessThanOrEqual(6)
})

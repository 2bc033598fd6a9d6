/** Who was made an administrator by whom, as an installation that is there already comes to know it. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, SCHEMA_FOLDER, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { listMadeByLeavers, lockWaiting } from './code.store.ts'
import { joinIdentity, leaveIdentity } from './index.ts'

const ctx = makeCtx('test', 'test')
let db: TestDatabase
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const join = (name: string, source: string) => db.store.inTx((tx) => joinIdentity(tx, ctx, { name, kind: 'human', source }))

async function bind(subject: string, by: string): Promise<void> {
  await db.store.query(
    `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason)
     values ($1, 'bootstrap-admin', 'identity', $2, $3, 'local administrator of an installation without an identity provider')`,
    [newId(), subject, by],
  )
}

test('those made before are known with their makers, get no other code, and are found for a month after', async () => {
  const mal = await join('mal', 'api')
  const token = newId()
  await db.store.query("insert into api_token (id, name, hash, makers) values ($1, 'of mal', '\\x00', array[$2::uuid])", [token, mal])
  const made = { person: await join('by-person', 'bootstrap'), token: await join('by-token', 'bootstrap') }
  const others = { first: await join('by-setup', 'bootstrap'), bare: await join('unbound', 'bootstrap'), plain: await join('plain', 'api') }
  await bind(made.person, `person:${mal}`)
  await bind(made.token, `token:${token}`)
  await bind(others.first, `token:${newId()}`)
  const text = readFileSync(`${SCHEMA_FOLDER}/0021_code_makers.sql`, 'utf8')
  const statement = text.slice(text.indexOf('insert into bootstrap_person'))
  await db.store.query(statement)
  const rows = await db.store.query<{ id: string; makers: string[]; came: boolean }>(
    'select identity_id as id, makers, came_at is not null as came from bootstrap_person',
  )
  expect(new Map(rows.map(({ id, makers }) => [id, makers]))).toEqual(
    new Map([
      [made.person, [mal]],
      [made.token, [mal]],
      [others.first, []],
      [others.bare, []],
    ]),
  )
  expect(rows.every(({ came }) => came)).toBe(true)
  for (const { id } of rows) expect(await db.store.inTx((tx) => lockWaiting(tx, id))).toBeNull()
  const found = async () => (await listMadeByLeavers(db.store, null, 10, 30)).map(({ name, makers }) => [name, makers])
  expect(await found()).toEqual([])
  await db.store.inTx((tx) => leaveIdentity(tx, ctx, mal, 'left the firm'))
  expect(await found()).toEqual([
    ['by-person', ['mal']],
    ['by-token', ['mal']],
  ])
  const [first] = await listMadeByLeavers(db.store, null, 1, 30)
  expect((await listMadeByLeavers(db.store, first?.id ?? null, 10, 30)).map(({ name }) => name)).toEqual(['by-token'])
  await db.store.query("update bootstrap_person set made_at = now() - interval '31 days' where identity_id = $1", [made.person])
  expect(await found()).toEqual([['by-token', ['mal']]])
})

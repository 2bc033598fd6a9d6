import { afterAll, beforeAll, expect, test } from 'vitest'
import { moveIdentity } from '../identity/index.ts'
import { makeCtx, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import type { Sql } from '../store/index.ts'
import { fsckCredentials } from './fsck.ts'
import { applyInventory, diffInventory } from './inventory.actions.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'fsck')
const CA = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
let engine: Engine

const system = { name: 'db', connector: 'postgres', root: { account: 'rekey_root', secret: { file: './root.secret' } } }
const address = { host: 'db.example.net', port: 5433, database: 'orders', tls: 'verify-full', caFile: './ca.pem' }
const other = { ...system, name: 'other', address: { host: '127.0.0.1', tls: 'off' } }
const identity = { name: 'api', kind: 'workload', owner: 'team', purpose: 'serves', environment: 'prod' }
const credential = {
  name: 'api@db',
  identity: 'api',
  system: 'db',
  account: 'api',
  strategy: 'in-place',
  current: { file: 'api.secret' },
  rotate: { every: '30d', grace: '10m' },
  consumers: [
    { name: 'one', file: { path: './one.env', key: 'PASSWORD' }, activation: 'session' },
    { name: 'two', identity: 'api', activation: 'session' },
  ],
}
const FLEET = {
  systems: [{ ...system, address }, other],
  identities: [identity, { ...identity, name: 'job' }],
  credentials: [credential, { ...credential, name: 'job@db', account: 'job', identity: 'job', rotate: undefined, consumers: [] }],
}

async function apply(fleet: object, authority = CA, prune = false): Promise<void> {
  const input = { text: JSON.stringify({ version: 1, ...fleet }), folder: '/srv/fleet' }
  const { digest, needed } = await diffInventory(engine.parts, ctx, allowed(ctx, 'inventory:read'), input)
  const secrets = new Map(needed.map((one) => [one.for, Secret.fromText(`value of ${one.for}`)]))
  const authorities = new Map([['/srv/fleet/ca.pem', authority]])
  await applyInventory(engine.parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), {
    ...input,
    digest,
    prune,
    secrets,
    authorities,
  })
}

/** What fsck finds after the statement, which is then taken back. */
async function findingsAfter(sql: string): Promise<string> {
  const { store } = engine.db
  return store
    .inTx(async (tx) => {
      await tx.query(sql)
      const findings = await fsckCredentials({ ...store, query: (tx as Sql).query })
      throw Object.assign(new Error('rolled back'), { text: findings.map(({ where, what }) => `${where}: ${what}`).join('\n') })
    })
    .catch((error: Error & { text?: string }) => {
      if (error.text === undefined) throw error
      return error.text
    })
}

beforeAll(async () => {
  engine = await Engine.start({ worker: false })
  await apply(FLEET)
})
afterAll(() => engine.stop())

/** Every column that a fleet file declares, changed behind Rekey's back; and what fsck calls it. */
const TAMPERED: readonly (readonly [string, string])[] = [
  ["update system set name = 'evil' where name = 'db'", 'system db: The log knows it; the table does not.\n'],
  ["update system set connector = 'mariadb' where name = 'db'", 'system db: connector is "postgres" by the log; the table says "mariadb".'],
  ["update system set host = 'evil' where name = 'db'", 'system db: address.host is "db.example.net" by the log; the table says "evil".'],
  ["update system set port = 1 where name = 'db'", 'system db: address.port is 5433 by the log; the table says 1.'],
  ["update system set database = null where name = 'db'", 'system db: address.database is "orders" by the log; the table says null.'],
  ["update system set tls = 'off' where name = 'db'", 'system db: address.tls is "verify-full" by the log; the table says "off".'],
  ["update system set ca_file = 'x' where name = 'db'", 'system db: address.caFile is "/srv/fleet/ca.pem" by the log; the table says "x".'],
  ["update system set ca = 'x' where name = 'db'", 'system db: ca is '],
  ["update system set root_account = 'x' where name = 'db'", 'system db: root.account is "rekey_root" by the log; the table says "x".'],
  ["update system set concurrent = 1 where name = 'db'", 'system db: limits.concurrent is 8 by the log; the table says 1.'],
  ["update system set decommissioned_at = now() where name = 'db'", 'system db: decommissioned is false by the log; the table says true.'],
  [
    `update system set server = '{"facts": {"a": "1"}, "run": null}' where name = 'db'`,
    'system db: server is null by the log; the table says "[[\\"a\\",\\"1\\"]]".',
  ],
  ["update system set server_epoch = 1 where name = 'db'", 'system db: epoch is 0 by the log; the table says 1.'],
  ["update system set server_apart = true where name = 'db'", 'system db: apart is false by the log; the table says true.'],
  ["update system set root_matched = 'x' where name = 'db'", 'system db: rootMatched is null by the log; the table says "x".'],
  ["update credential set name = 'x' where name = 'api@db'", 'consumer one of x: The table has it; the log knows nothing of it.'],
  [
    "update credential set system_id = (select id from system where name = 'other') where name = 'api@db'",
    'credential api@db: system is "db" by the log; the table says "other".',
  ],
  [
    "update credential set identity_id = (select id from identity where name = 'job') where name = 'api@db'",
    'credential api@db: identity is "api" by the log; the table says "job".',
  ],
  [
    "update consumer set identity_id = (select id from identity where name = 'job') where name = 'two'",
    'consumer two of api@db: identity is "api" by the log; the table says "job".',
  ],
  [
    "update consumer set identity_id = (select id from identity where name = 'api') where name = 'one'",
    'consumer one of api@db: identity is null by the log; the table says "api".',
  ],
  ["update credential set is_root = true where name = 'job@db'", 'violates'],
  [
    "update credential set strategy = 'dual' where name = 'api@db'",
    'credential api@db: strategy is "in-place" by the log; the table says "dual".',
  ],
  [
    "update credential set accounts = '{x}' where name = 'api@db'",
    'credential api@db: accounts is ["api"] by the log; the table says ["x"].',
  ],
  ["update credential set accounts = '{x}' where name = 'root@db'", 'credential root@db: accounts is ["rekey_root"] by the log'],
  ["update credential set strategy = 'dual' where name = 'root@db'", 'credential root@db: strategy is "in-place" by the log'],
  ["update credential set system_id = (select id from system where name = 'other') where name = 'root@db'", 'violates'],
  ["update account set name = 'x' where name = 'api'", 'credential api@db: The accounts that are taken for it are not those it names.'],
  [
    'update credential set every_seconds = 1 where every_seconds is not null',
    'credential api@db: rotate.everySeconds is 2592000 by the log; the table says 1.',
  ],
  [
    "update credential set grace_seconds = 1 where name = 'api@db'",
    'credential api@db: rotate.graceSeconds is 600 by the log; the table says 1.',
  ],
  [
    "update credential set next_rotation_at = null where name = 'api@db'",
    'credential api@db: Its next rotation is not when its schedule says.',
  ],
  ["update credential set closed_at = now() where name = 'api@db'", 'credential api@db: Its rotations are stopped, and no closure'],
  ["update credential set next_rotation_at = 'infinity' where name = 'api@db'", 'credential api@db: Its next rotation is not'],
  ["update credential set next_rotation_at = now() where name = 'job@db'", 'credential job@db: Its next rotation is not'],
  ["update consumer set name = 'x' where name = 'one'", 'consumer one of api@db: The log knows it; the table does not.'],
  [
    "update consumer set file_path = '/tmp/x' where name = 'one'",
    'consumer one of api@db: file.path is "/srv/fleet/one.env" by the log; the table says "/tmp/x".',
  ],
  [
    "update consumer set file_key = 'x' where name = 'one'",
    'consumer one of api@db: file.key is "PASSWORD" by the log; the table says "x".',
  ],
  ["update consumer set activation = 'none' where name = 'one'", 'consumer one of api@db: activation is "session" by the log'],
  [
    "update consumer set credential_id = (select id from credential where name = 'job@db') where name = 'one'",
    'consumer one of job@db: The table has it; the log knows nothing of it.',
  ],
  [
    `insert into consumer (id, credential_id, name, file_path, activation)
       select gen_random_uuid(), id, 'spy', '/tmp/spy', 'none' from credential where name = 'api@db'`,
    'consumer spy of api@db: The table has it; the log knows nothing of it.',
  ],
  ["delete from consumer where name = 'two'", 'consumer two of api@db: The log knows it; the table does not.'],
]

test.each(TAMPERED)('%s', async (sql, finding) => {
  if (finding === 'violates') await expect(findingsAfter(sql)).rejects.toMatchObject({ code: 'database_failed' })
  else expect(await findingsAfter(sql)).toContain(finding)
})

test('every column of the inventory is tried, but for ids, keys and times that have their own checks', async () => {
  const columns = await engine.db.store.query<{ name: string }>(
    `select c.table_name || '.' || c.column_name as name from information_schema.columns c
      where c.table_name in ('system', 'credential', 'consumer', 'account') and c.table_schema = current_schema()`,
  )
  // Where and when a server was met only makes it be asked again; `place` is generated.
  const elsewhere = /\.(id|created_at|kek_id|wrapped_key|place|server_at|server_seen_at)$|^account\.(system_id|credential_id)$/
  const tried = TAMPERED.flatMap(([sql]) => {
    const [, table, column] = /^update (\w+) set (\w+)/.exec(sql) ?? []
    return table === undefined ? [] : [`${table}.${column}`]
  })
  expect(columns.length).toBeGreaterThan(25)
  expect(columns.map(({ name }) => name).filter((name) => !elsewhere.test(name) && !tried.includes(name))).toEqual([])
})

test('changes, renewals, moved roots, hundreds of consumers and removals leave nothing to find', async () => {
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  await apply(FLEET, CA.replace('AAAA', 'BBBB'))
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  const [one, two] = credential.consumers
  const changed = {
    ...credential,
    rotate: { every: '1d' },
    consumers: [
      { ...one, activation: 'none' },
      { ...two, name: 'three' },
    ],
  }
  const many = Array.from({ length: 400 }, (_, n) => ({ name: `c-${n}`, file: { path: `./many/${n}.secret` }, activation: 'none' }))
  const fleet = {
    systems: [{ ...system, root: { ...system.root, account: 'other_root' }, address: { ...address, port: 1, caFile: undefined } }, other],
    identities: [
      { ...identity, owner: 'others' },
      { ...identity, name: 'job' },
      { ...identity, name: 'third' },
    ],
    credentials: [changed, FLEET.credentials[1], { ...credential, name: 'many@db', account: 'many', consumers: many }],
  }
  await apply(fleet)
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  await engine.db.store.query(
    "update version v set state = 'void' from credential c where c.id = v.credential_id and c.name in ('job@db', 'many@db')",
  )
  await apply({ systems: fleet.systems.slice(0, 1), identities: fleet.identities.slice(0, 1), credentials: [changed] }, CA, true)
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  expect(await findingsAfter("update consumer set activation = 'none' where name = 'three'")).toContain('three of api@db: activation')
})

test('an identity that is called otherwise since its credential was declared is no finding, and another identity is one', async () => {
  const { store } = engine.db
  const [row] = await store.query<{ id: string }>("select id from identity where name = 'api'")
  const id = row?.id ?? ''
  await store.inTx((tx) => moveIdentity(tx, engine.ctx, id, { name: 'renamed' }))
  expect(await fsckCredentials(store)).toEqual([])
  await store.query(
    `with spy as (insert into identity (id, name, name_key, kind, owner, purpose, environment)
       values (gen_random_uuid(), 'spy', 'spy', 'workload', 'team', 'serves', 'prod') returning id)
     update credential set identity_id = spy.id from spy where identity_id = $1`,
    [id],
  )
  expect((await fsckCredentials(store)).map(({ what }) => what).join()).toContain('identity is "api" by the log; the table says "spy"')
})

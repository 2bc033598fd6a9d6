import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { withWrongValues } from '../../test/lab/wrong.ts'
import { TABLE_OWNERS } from '../../test/tables.ts'
import type { Connector } from '../connectors/contract.ts'
import { connectorFor } from '../connectors/registry.ts'
import { RekeyError, Secret } from '../kernel/index.ts'
import { kekFindings } from '../keys/index.ts'
import { allowed } from '../policy/testing.ts'
import type { Sql, Tx } from '../store/index.ts'
import { fsckCredentials } from './fsck.ts'
import { undoRotation } from './rotation.actions.ts'
import { shredDue } from './shred.ts'
import { Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string
let refusals = 0
const refused: string[] = []

/** The real connector, whose system finds fault with the first values: none of the laboratory's systems judges a verifier by itself. */
function choosy(name: string): Connector {
  const real = connectorFor(name)
  return {
    ...real,
    describe: () => real.describe(),
    checkAccount: (account) => real.checkAccount(account),
    open: (spec) => {
      const open = real.open(spec)
      const install = open.install.bind(open)
      open.install = async (ctx, order) => {
        if (order.account === 'choosy' && refusals > 0) {
          refusals--
          order.secret.revealText((text) => refused.push(text))
          throw new RekeyError('target_refused_by_policy', 'The system refused the value by its policy.')
        }
        return install(ctx, order)
      }
      return open
    },
  }
}

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ connector: choosy })])
  const root = { account: target.superuser.account, secret: target.superuser.secret }
  system = await engine.addSystem('db', 'postgres', { host: target.host, port: target.port, database: 'postgres', tls: 'off' }, root)
  for (const account of ['a', 'b', 'choosy', 'undone']) {
    await target.query(`create role ${account} login password 'old-value'`)
    const current = account === 'b' ? null : Secret.fromText('old-value')
    const consumers = account === 'undone' ? [{ name: 'never', activation: 'session' as const }] : []
    await engine.addCredential(system, { name: account, strategy: 'in-place', accounts: [account], current, consumers })
  }
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

test('a value that the policy refuses is made anew and stored before it is tried; the refused ones are void and in evidence', async () => {
  refusals = 2
  // These are destroyed at once, so that fsck has something to look at.
  const { shredAfterSeconds } = engine.parts
  Object.assign(engine.parts, { shredAfterSeconds: 0 })
  const [id = ''] = await engine.rotate(['choosy'])
  expect(await engine.finished(id)).toMatchObject({ state: 'proven_dead', newVersion: 4 })
  expect(new Set(refused).size).toBe(2)
  const versions = await engine.db.store.query<{ state: string }>(
    "select v.state from version v join credential c on c.id = v.credential_id where c.name = 'choosy' order by number",
  )
  expect(versions.map((version) => version.state)).toEqual(['dead', 'void', 'void', 'current'])
  const told = await engine.db.store.query<{ body: string }>("select body from evidence_event where body like '%rotation.regenerated%'")
  expect(told).toHaveLength(2)
  for (const value of refused) expect(told.map((event) => event.body).join()).not.toContain(value)
  Object.assign(engine.parts, { shredAfterSeconds })
})

test('a policy that refuses everything blocks, with the last value kept', async () => {
  refusals = 1_000
  const [id = ''] = await engine.rotate(['choosy'])
  const view = await engine.finished(id)
  expect(view).toMatchObject({ state: 'blocked', blockedFrom: 'staged', installedAt: null })
  refusals = 0
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), id, 'the policy is wrong')
  expect((await engine.until(id, (each) => each.endedAt !== null)).state).toBe('undone')
})

test('a sound installation has no findings, with rotations ended in every way', async () => {
  for (const name of ['a', 'b', 'a']) {
    const [id = ''] = await engine.rotate([name])
    await engine.finished(id)
  }
  const [waiting = ''] = await engine.rotate(['undone'])
  await engine.until(waiting, (view) => view.state === 'distributed')
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), waiting, 'test')
  await engine.finished(waiting)
  expect(await shredDue(engine.parts, engine.ctx)).toBeGreaterThanOrEqual(0)
  const remarks: string[] = []
  expect(await fsckCredentials(engine.db.store, (where) => remarks.push(where), engine.parts.keyring)).toEqual([])
  expect(remarks).toEqual([])
})

const CURRENT = "where state = 'current' and account = 'a'"
const PROVEN = "where state = 'proven_dead'"

const CHANGED: readonly (readonly [string, string])[] = [
  [`update version set sealed = null ${CURRENT}`, 'Its ciphertext is gone'],
  [`update version set sealed = '\\x00' ${CURRENT}`, 'Its ciphertext does not open'],
  [`update version set account = 'evil' ${CURRENT}`, 'account is "a" by the log'],
  [`update version set fingerprint = 'x' ${CURRENT}`, 'fingerprint is '],
  [`update version set number = 99 ${CURRENT}`, 'number is '],
  ["update version set shred_after = null where state = 'dead'", 'shred_after is '],
  ["update version set leaked_at = now(), leaked_reason = 'x' where state = 'dead'", 'leaked_reason is '],
  ["update version set revoked_at = now() - interval '9 days' where state = 'dead'", 'revoked_at is '],
  ["update version set effective_dead_at = now() - interval '9 days' where state = 'dead'", 'effective_dead_at is '],
  ["update version set installed_at = now() where state = 'dead' and installed_at is not null", 'installed_at is '],
  ["update version set sealed = '\\x00', shredded_at = null where shredded_at is not null", 'that its ciphertext was destroyed'],
  ["update version set state = 'irrevocable' where state = 'unprovable'", 'state is "unprovable" by the log'],
  ["delete from rotation; delete from version where state = 'dead'", 'The log knows it; the table does not'],
  [
    "insert into version (id, credential_id, number, account, state) select gen_random_uuid(), id, 50, 'a', 'dead' from credential",
    'knows nothing',
  ],
  ...[
    'proved_dead_at = now()',
    'installed_at = now()',
    'gap_ms = 0.25',
    "reason = 'x'",
    'sessions_ended = 99',
    'new_version_id = old_version_id',
  ]
    .concat(["old_account = 'z'", 'batch_id = gen_random_uuid()', "mark = 'z'"])
    .map((set) => [`update rotation set ${set} ${PROVEN}`, 'Its row is not the one'] as const),
  [`update rotation set started_by = 'admin:bob' ${PROVEN}`, 'Started by test by the log'],
  [`update rotation set recheck_at = null ${PROVEN}`, 'does not plan it'],
  [`update rotation set credential_id = (select id from credential where name = 'b') ${PROVEN}`, 'at another credential'],
  ["update credential set wrapped_key = '\\x00' where name = 'a'", 'Its wrapped key does not open'],
  [
    "update credential c set wrapped_key = o.wrapped_key from credential o where c.name = 'a' and o.name = 'b'",
    'Its wrapped key does not open',
  ],
]

test.each(CHANGED)('what the events tell of a row is compared: %s', async (sql, what) => {
  expect(await foundAfter(sql)).toContain(what)
})

test('a data key that by its row another key-encryption key wraps does not open', async () => {
  const found = await foundAfter("update credential set kek_id = (select id from kek where state = 'active') where name = 'a'", (tx) =>
    engine.parts.keyring.add(tx),
  )
  expect(found).toContain('Its wrapped key does not open')
  expect(await foundAfter('select 1', (tx) => engine.parts.keyring.add(tx))).toBe('')
})

async function foundAfter(sql: string, before: (tx: Tx) => Promise<unknown> = async () => undefined): Promise<string> {
  const { store } = engine.db
  const found = await store
    .inTx(async (tx) => {
      await before(tx)
      for (const statement of sql.split('; ')) await tx.query(statement)
      const findings = await fsckCredentials({ ...store, query: tx.query }, undefined, engine.parts.keyring)
      throw Object.assign(new Error('rolled back'), { findings })
    })
    .catch((error: Error & { findings?: { what: string }[] }) => {
      if (error.findings === undefined) throw error
      return error.findings
    })
  return found.map((finding) => finding.what).join('\n')
}

test.each([
  ["update rotation set state = 'undone' where state = 'proven_dead'", 'the log says proven_dead'],
  ["update version set state = 'dead', proved_dead_at = now() where state = 'unprovable'", 'no proof of its death'],
  ["update version set state = 'void' where state = 'dead'", 'the table says void'],
  ["update version set proved_dead_at = now() + interval '1 day' where state = 'dead'", 'not by the table'],
  ["update version set state = 'unprovable' where state = 'current' and number > 1", 'The log says it is in use'],
])('tampering with the tables is found: %s', async (sql, what) => {
  const { store } = engine.db
  const found = await store
    .inTx(async (tx) => {
      await tx.query(sql)
      const findings = await fsckCredentials({ ...store, query: tx.query })
      throw Object.assign(new Error('rolled back'), { findings })
    })
    .catch((error: { findings?: { what: string }[] }) => error.findings ?? [])
  expect(found.map((finding) => finding.what).join('\n')).toContain(what)
  expect(await fsckCredentials(store)).toEqual([])
})

/** What fsck says while a statement stands, which is then taken back. */
async function findingsDuring(statement: string): Promise<string[]> {
  const { store } = engine.db
  const found: string[] = []
  const work = store.inTx(async (tx) => {
    await tx.query(statement)
    const findings = await fsckCredentials({ ...store, query: (tx as Sql).query })
    found.push(...findings.map(({ where, what }) => `${where}: ${what}`))
    throw new Error('taken back')
  })
  await expect(work).rejects.toThrow('taken back')
  return found
}

test('a root credential whose rotation would wait, or that is said to be of somebody or to have a schedule, is found', async () => {
  const where = "where name = 'root@db'"
  expect(await findingsDuring(`update credential set grace_seconds = 315360000 ${where}`)).toEqual([
    'credential root@db: rotate.graceSeconds is null by the log; the table says 315360000.',
  ])
  expect(await findingsDuring(`update credential set every_seconds = 60, next_rotation_at = now() ${where}`)).toEqual([
    'credential root@db: rotate.everySeconds is null by the log; the table says 60.',
  ])
})

test('a consumer that is not waited for by nobody’s word is found', async () => {
  for (const override of [`'{"by": "me", "reason": "because"}'`, "'1'"])
    expect(await findingsDuring(`update rotation set activation_override = ${override}::jsonb`)).toContainEqual(
      expect.stringContaining('Whether, why and by whose word it does not wait for its consumers'),
    )
})

test('whatever is written into any column, fsck comes to its end', async () => {
  const { store } = engine.db
  const tables = Object.entries(TABLE_OWNERS).flatMap(([table, owner]) => (owner === 'credential' || table === 'kek' ? [table] : []))
  const { stored, thrown } = await withWrongValues(store, tables, async (sql) => {
    await fsckCredentials({ ...store, query: sql.query }, () => undefined, engine.parts.keyring)
    await kekFindings(sql)
  })
  expect(thrown).toEqual([])
  expect(stored).toBeGreaterThan(100)
}, 600_000)

/** A rotation that is stuck on an account whose identity leaves, on a real PostgreSQL: no live value is lost, each ends with a proof. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { joinIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { open } from '../seal/index.ts'
import type { ClosureState } from './closure.model.ts'
import { fsckCredentials } from './fsck.ts'
import { retryRotation, undoRotation } from './rotation.actions.ts'
import type { State } from './rotation.model.ts'
import { dataKeyBound, versionBound } from './targets.ts'
import { type CredentialSpec, Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string
/** Where each rotation breaks, by the name of its credential. */
const breaks = new Map<string, string>()

beforeAll(async () => {
  const trap = async (where: string, rotation: string) => {
    const [row] = await engine.db.store.query<{ name: string }>(
      'select c.name from rotation r join credential c on c.id = r.credential_id where r.id = $1',
      [rotation],
    )
    if (row !== undefined && breaks.get(row.name) === where) throw new Error('broken for the test')
  }
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ parts: { loginWindowMs: 1_000, trap } })])
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('db', 'postgres', address, { account: target.superuser.account, secret: target.superuser.secret })
  await engine.addCloser()
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
let serial = 0

interface Case {
  readonly leaver: string
  readonly id: string
  readonly name: string
  readonly accounts: readonly string[]
}

async function makeCase(more: Partial<CredentialSpec> = {}): Promise<Case> {
  const name = `stuck_${++serial}`
  const accounts = more.strategy === 'alternating' ? [name, `${name}b`] : [name]
  for (const account of accounts) await target.query(`create role ${account} login password 'first-${account}'`)
  const leaver = await inTx((tx) =>
    joinIdentity(tx, engine.ctx, { name: `leaver-${serial}`, kind: 'human', purpose: 'tests', source: 'api' }),
  )
  const spec = { name, strategy: 'in-place', accounts, current: Secret.fromText(`first-${name}`), identity: leaver, ...more } as const
  return { leaver, id: await engine.addCredential(system, spec), name, accounts }
}

async function answer(user: string, password: string): Promise<string> {
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.end()
    return 'accepted'
  } catch (error) {
    return (error as { code?: string }).code ?? 'unknown'
  }
}

interface Version {
  readonly id: string
  readonly number: number
  readonly account: string
  readonly state: string
  readonly value: string
}

/** Every version of it, with its value as it is held. */
async function versionsOf({ id }: Case): Promise<Version[]> {
  const rows = await engine.db.store.query<Omit<Version, 'value'> & { sealed: Uint8Array; kek_id: string; wrapped_key: Uint8Array }>(
    `select v.id, v.number, v.account, v.state, v.sealed, c.kek_id, c.wrapped_key from version v join credential c on c.id = v.credential_id
      where c.id = $1 order by v.number`,
    [id],
  )
  return Promise.all(
    rows.map(async ({ sealed, kek_id, wrapped_key, ...row }) => {
      const key = await engine.parts.keyring.unwrap(engine.db.store, kek_id, wrapped_key, dataKeyBound(id))
      return { ...row, value: open(key, sealed, versionBound(id, row.id)).revealText((text) => text) }
    }),
  )
}

async function settled(identity: string, state: ClosureState, ms = 20_000): Promise<void> {
  for (const until = engine.ctx.clock.monotonicMs() + ms; ; await sleep(20)) {
    const [row] = await engine.db.store.query<{ state: ClosureState }>('select state from closure where identity_id = $1', [identity])
    if (row?.state === state) return
    if (engine.ctx.clock.monotonicMs() > until) {
      const items = await engine.db.store.query('select credential_name, state, problem from closure_item where ended_at is null')
      throw new Error(`the closure is ${row?.state}: ${JSON.stringify(items)}`)
    }
  }
}

async function stateOf(table: 'rotation' | 'closure_item', { id }: Case): Promise<string | undefined> {
  const [row] = await engine.db.store.query<{ state: string }>(`select state from ${table} where credential_id = $1 order by id desc`, [id])
  return row?.state
}

/** Starts a rotation of it that breaks there, and waits until it is blocked. */
async function stuck(one: Case, where: string): Promise<string> {
  breaks.set(one.name, where)
  const [rotation = ''] = await engine.rotate([one.name])
  await engine.until(rotation, ({ state }) => state === 'blocked')
  return rotation
}

/** The values as they were before, none of which may open anything afterwards. */
async function expectEnded(one: Case, before: readonly Version[], states: readonly string[]): Promise<void> {
  expect(await stateOf('closure_item', one)).toBe('proven_dead')
  expect(await stateOf('rotation', one)).toBe('taken_over')
  for (const { account, value } of before) expect(await answer(account, value), account).toMatch(/^28P01|28000$/)
  const after = await versionsOf(one)
  expect(after.map(({ state }) => state)).toEqual(states)
  // No handle of a value was lost on the way.
  expect(after.map(({ value }) => value)).toEqual(before.map(({ value }) => value))
  expect(await fsckCredentials(engine.db.store)).toEqual([])
}

/** Where it broke, in which state that leaves it, and what becomes of its values: the old one, the new one. */
const STUCK_AT: readonly (readonly [string, State, 'in-place' | 'alternating', readonly string[]])[] = [
  ['before_install', 'staged', 'in-place', ['dead', 'void']],
  ['after_install', 'staged', 'in-place', ['dead', 'dead']],
  ['before_retire', 'retiring', 'in-place', ['dead', 'dead']],
  ['before_proof', 'retired', 'in-place', ['dead', 'dead']],
  ['before_install', 'staged', 'alternating', ['dead', 'void']],
  ['after_install', 'staged', 'alternating', ['dead', 'dead']],
  ['before_retire', 'retiring', 'alternating', ['dead', 'dead']],
]

test.each(STUCK_AT)(
  'blocked at %s (%s, %s): taken over, and every value that worked proven dead',
  async (where, _state, strategy, ends) => {
    const one = await makeCase({ strategy })
    await stuck(one, where)
    const before = await versionsOf(one)
    await inTx((tx) => offboardIdentity(tx, engine.ctx, one.leaver, 'left'))
    await settled(one.leaver, 'closed')
    await expectEnded(one, before, ends)
  },
)

test('one that waits out its grace is given some time, then taken over', async () => {
  const one = await makeCase({ graceSeconds: 3_600 })
  const [rotation = ''] = await engine.rotate([one.name])
  await engine.until(rotation, ({ state }) => state === 'activated')
  const before = await versionsOf(one)
  await inTx((tx) => offboardIdentity(tx, engine.ctx, one.leaver, 'left'))
  await sleep(1_500)
  expect(await stateOf('rotation', one)).toBe('activated')
  await engine.db.store.query("update closure_item set created_at = created_at - interval '1 minute' where credential_id = $1", [one.id])
  await settled(one.leaver, 'closed')
  expect(await stateOf('rotation', one)).toBe('taken_over')
  expect((await versionsOf(one)).map(({ state }) => state)).toEqual(['dead', 'dead'])
  for (const { account, value } of before) expect(await answer(account, value)).toBe('28P01')
})

test('a suspension only holds it: after the resume the same values work, and the rotation goes on', async () => {
  const one = await makeCase()
  const rotation = await stuck(one, 'after_install')
  const [, fresh] = await versionsOf(one)
  await inTx((tx) => suspendIdentity(tx, engine.ctx, one.leaver, 'away'))
  await settled(one.leaver, 'suspended')
  expect(await answer(one.name, fresh?.value ?? '')).toBe('28000')
  const may = allowed(engine.ctx, 'rotation:retry')
  await expect(retryRotation(engine.parts, engine.ctx, may, rotation)).rejects.toMatchObject({ code: 'conflict' })
  await expect(undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), rotation, 'x')).rejects.toMatchObject({
    code: 'conflict',
  })
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  await inTx((tx) => resumeIdentity(tx, engine.ctx, one.leaver, 'back'))
  await settled(one.leaver, 'resumed')
  expect(await answer(one.name, fresh?.value ?? '')).toBe('accepted')
  breaks.delete(one.name)
  await retryRotation(engine.parts, engine.ctx, may, rotation)
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
  expect(await answer(one.name, fresh?.value ?? '')).toBe('accepted')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('one that tries by itself is held while its identity is suspended, and goes on after the resume', async () => {
  const one = await makeCase()
  breaks.set(one.name, 'before_install')
  const [rotation = ''] = await engine.rotate([one.name])
  await engine.until(rotation, ({ state, tries }) => state === 'staged' && tries > 0)
  await inTx((tx) => suspendIdentity(tx, engine.ctx, one.leaver, 'away'))
  // It may be blocked or held by now, as the clock has it; either way it stands still from here on.
  await engine.db.store.query("update closure_item set created_at = created_at - interval '1 minute' where credential_id = $1", [one.id])
  await settled(one.leaver, 'suspended')
  breaks.delete(one.name)
  const [held] = await engine.db.store.query<{ state: string; due_at: Date | null }>('select state, due_at from rotation where id = $1', [
    rotation,
  ])
  expect(held?.due_at).toBeNull()
  await sleep(1_200)
  expect(await stateOf('rotation', one)).toBe(held?.state)
  await inTx((tx) => resumeIdentity(tx, engine.ctx, one.leaver, 'back'))
  await settled(one.leaver, 'resumed')
  if (held?.state === 'blocked') await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), rotation)
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
})

test('what others use is not taken from them: a human has it, and it goes on when the stuck rotation has ended', async () => {
  const one = await makeCase({ consumers: [{ name: 'nightly-report', activation: 'none' }] })
  const rotation = await stuck(one, 'before_install')
  await inTx((tx) => offboardIdentity(tx, engine.ctx, one.leaver, 'left'))
  await settled(one.leaver, 'waiting')
  expect(await stateOf('closure_item', one)).toBe('handed_over')
  expect(await answer(one.name, `first-${one.name}`)).toBe('accepted')
  breaks.delete(one.name)
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), rotation, 'stuck')
  await settled(one.leaver, 'closed')
  expect(await stateOf('closure_item', one)).toBe('rotated')
  expect(await answer(one.name, `first-${one.name}`)).toBe('28P01')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

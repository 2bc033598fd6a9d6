/** Credentials of somebody else of which a leaver knows the value, on a real server. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { joinIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { newId, Secret, sleep } from '../kernel/index.ts'
import { defaultPolicies, Policies } from '../policy/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import { giveUpItem, retryClosure } from './closure.actions.ts'
import { closureItems } from './closure.list.ts'
import type { ClosureState } from './closure.model.ts'
import { planClosure } from './closure.preview.ts'
import { listFindings } from './finding.list.ts'
import { fsckCredentials } from './fsck.ts'
import { startRotations } from './rotation.actions.ts'
import { type CredentialSpec, Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ parts: { loginWindowMs: 1_000 } })])
  system = await engine.addSystem('orders-db', 'postgres', where(), { account: target.superuser.account, secret: target.superuser.secret })
  await engine.addCloser()
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

const where = () => ({ host: target.host, port: target.port, database: 'postgres', tls: 'off' }) as const
const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)

let serial = 0
interface Who {
  readonly id: string
  readonly name: string
}
async function person(): Promise<Who> {
  const name = `person-${++serial}`
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind: 'human', purpose: 'tests', source: 'api' })), name }
}
async function workload(owner: Who, environment = 'test'): Promise<Who> {
  const name = `workload-${++serial}`
  const fields = { name, kind: 'workload', owner: { kind: 'person', id: owner.id }, purpose: 'tests', environment } as const
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { ...fields, source: 'api' })), name }
}

interface Made {
  readonly id: string
  readonly name: string
  readonly password: string
  readonly path: (consumer: string) => string
}
type Consumers = readonly { readonly name: string; readonly whose?: string }[]

/** A role on the server and its credential, with a file for each consumer. */
async function credential(identity: Who, consumers: Consumers = [], more: Partial<CredentialSpec> = {}): Promise<Made> {
  const name = `role_${++serial}`
  const password = `pass-${newId()}`
  const path = (consumer: string) => join(engine.folder, `${name}.${consumer}`)
  await target.query(`create role ${name} login password '${password}'`)
  for (const one of consumers) writeFileSync(path(one.name), password)
  const files = consumers.map((one) => ({ ...one, path: path(one.name), activation: 'none' as const }))
  const spec = { name, strategy: 'in-place', accounts: [name], current: Secret.fromText(password), consumers: files, ...more } as const
  return { id: await engine.addCredential(system, { ...spec, identity: identity.id }), name, password, path }
}

const valueIn = (path: string) => readFileSync(path, 'utf8').trim()

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

async function settled({ id }: Who, states: readonly ClosureState[]): Promise<string> {
  for (const until = engine.ctx.clock.monotonicMs() + 20_000; ; await sleep(20)) {
    const [row] = await engine.db.store.query<{ id: string; state: ClosureState }>(
      'select id, state from closure where identity_id = $1 order by id desc limit 1',
      [id],
    )
    if (row !== undefined && states.includes(row.state)) return row.id
    if (engine.ctx.clock.monotonicMs() > until) {
      const items = await engine.db.store.query('select credential_name, relation, state, problem from closure_item where ended_at is null')
      throw new Error(`the closure is ${row?.state}: ${JSON.stringify(items)}`)
    }
  }
}

type Row = Readonly<Record<string, unknown>>
async function itemOf(of: Made, closure: string): Promise<Row | null> {
  const [row] = await engine.db.store.query<Row>('select * from closure_item where credential_id = $1 and closure_id = $2', [
    of.id,
    closure,
  ])
  return row ?? null
}

const leave = ({ id }: Who) => inTx((tx) => offboardIdentity(tx, engine.ctx, id, 'left'))
const suspend = ({ id }: Who) => inTx((tx) => suspendIdentity(tx, engine.ctx, id, 'away'))
const back = ({ id }: Who) => inTx((tx) => resumeIdentity(tx, engine.ctx, id, 'back'))
const plan = ({ id }: Who, may = allowed(engine.ctx, 'closure:plan')) => planClosure(engine.parts, may, id)
const rotationsOf = ({ id }: Made) =>
  engine.db.store.query<{ state: string; reason: string }>('select state, reason from rotation where credential_id = $1 order by id', [id])

test('a consumer of what is somebody else’s leaves: a suspension changes nothing of it, the offboarding rotates it past them', async () => {
  const [leaver, owner] = [await person(), await person()]
  const report = await workload(owner)
  const named = await person()
  const used = await credential(report, [{ name: 'desk-1', whose: leaver.id }, { name: report.name }, { name: named.name }])
  const planned = (await plan(leaver)).map(({ accounts: _, system: __, ...rest }) => rest)
  expect(planned).toEqual([
    {
      credential: used.name,
      way: 'rotate',
      why: `${leaver.name} consumes it as desk-1`,
      relation: 'consumer',
      begins: 'offboarding',
      consumers: [report.name, named.name].sort(),
      suspends: null,
      destroys: null,
    },
  ])
  await suspend(leaver)
  const closure = await settled(leaver, ['suspended'])
  expect([await itemOf(used, closure), await rotationsOf(used)]).toEqual([null, []])
  expect(await answer(used.name, used.password)).toBe('accepted')
  await back(leaver)
  await settled(leaver, ['resumed'])
  expect(await answer(used.name, used.password)).toBe('accepted')
  await suspend(leaver)
  await settled(leaver, ['suspended'])
  await leave(leaver)
  const end = await settled(leaver, ['closed'])
  const fresh = valueIn(used.path(report.name))
  expect([valueIn(used.path('desk-1')), valueIn(used.path(named.name))]).toEqual([used.password, fresh])
  expect([await answer(used.name, used.password), await answer(used.name, fresh)]).toEqual(['28P01', 'accepted'])
  expect(await itemOf(used, end)).toMatchObject({ state: 'rotated', relation: 'consumer', way: 'rotate', attempt_step: null, due_at: null })
  expect(await rotationsOf(used)).toEqual([{ state: 'proven_dead', reason: `offboarding: ${leaver.name} consumes it as desk-1` }])
  // It is the owner's as before.
  expect(await engine.db.store.query('select closed_at from credential where id = $1', [used.id])).toEqual([{ closed_at: null }])
  const { items } = await closureItems(engine.db.store, allowed(engine.ctx, 'closure:read'), end, { after: null, limit: 10 })
  expect(items).toMatchObject([{ credential: used.name, relation: 'consumer', state: 'rotated', provedDeadAt: expect.any(String) }])
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('by their name too, by an exception, and by having shown that they hold the value; not what was never theirs', async () => {
  const [leaver, owner] = [await person(), await person()]
  const byName = await credential(owner, [{ name: leaver.name }, { name: owner.name }])
  const shares = await credential(owner, [{ name: owner.name }])
  const shown = await credential(owner, [{ name: owner.name }])
  const other = await credential(owner, [{ name: owner.name }, { name: `${leaver.name}-desk` }])
  await engine.db.store.query(
    `insert into exception (id, kind, credential_id, users, owner_kind, owner_id, owner_name, reason, waits_for, ends_at,
       review_every_seconds, on_missed, created_by)
     values ($1, 'shared_account', $2, array[$3::uuid], 'person', $4, 'x', 'x', 'x', now() + interval '1 day', 86400, 'escalate', 'test')`,
    [newId(), shares.id, leaver.id, owner.id],
  )
  await engine.finishedBatch(await engine.rotate([shown.name]))
  await engine.db.store.query(
    `insert into activation (rotation_id, consumer_name, how, by_person)
     select id, 'x', 'report', $2 from rotation where credential_id = $1`,
    [shown.id, leaver.id],
  )
  const before = valueIn(shown.path(owner.name))
  await leave(leaver)
  const closure = await settled(leaver, ['closed'])
  for (const one of [byName, shares, shown]) {
    expect(await itemOf(one, closure)).toMatchObject({ state: 'rotated', relation: 'consumer' })
    expect(await answer(one.name, one === shown ? before : one.password)).toBe('28P01')
    expect(await answer(one.name, valueIn(one.path(owner.name)))).toBe('accepted')
  }
  expect(await itemOf(other, closure)).toBeNull()
  expect(await answer(other.name, other.password)).toBe('accepted')
  await engine.db.store.query('delete from exception where credential_id = $1', [shares.id])
})

test('the only consumer leaves: the value dies all the same, and the plan says that the new one is in no file', async () => {
  const [leaver, owner] = [await person(), await person()]
  const used = await credential(owner, [{ name: 'desk-2', whose: leaver.id }])
  expect(await plan(leaver)).toMatchObject([
    { way: 'rotate', why: `${leaver.name} consumes it as desk-2; nobody else on record uses it, so its new value goes into no file` },
  ])
  await leave(leaver)
  const closure = await settled(leaver, ['closed'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'rotated' })
  expect([await answer(used.name, used.password), valueIn(used.path('desk-2'))]).toEqual(['28P01', used.password])
  const next = used.path('next')
  await engine.db.store.query("insert into consumer (id, credential_id, name, file_path, activation) values ($1, $2, 'next', $3, 'none')", [
    newId(),
    used.id,
    next,
  ])
  await engine.finishedBatch(await engine.rotate([used.name]))
  expect(await answer(used.name, valueIn(next))).toBe('accepted')
  await engine.db.store.query('delete from consumer where credential_id = $1', [used.id])
})

test('what Rekey must not rotate goes to whose it is, and is done as soon as they have seen to it', async () => {
  const [leaver, owner, boss] = [await person(), await person(), await person()]
  const job = await workload(boss)
  const used = await credential(owner, [{ name: 'desk-3', whose: leaver.id }])
  const ofJob = await credential(job, [{ name: 'desk-3', whose: leaver.id }])
  const twin = await engine.addSystem(`twin-${++serial}`, 'postgres', where(), {
    account: target.superuser.account,
    secret: target.superuser.secret,
  })
  for (const one of [used, ofJob]) {
    const spec = { strategy: 'in-place', accounts: [one.name], current: Secret.fromText(one.password), identity: owner.id } as const
    await engine.addCredential(twin, { ...spec, name: `also-${one.name}` })
  }
  await leave(leaver)
  const closure = await settled(leaver, ['waiting'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'handed_over', human_kind: 'person', human_id: owner.id })
  expect(await itemOf(ofJob, closure)).toMatchObject({ state: 'handed_over', human_id: boss.id, blocked_from: 'planned' })
  expect(await answer(used.name, used.password)).toBe('accepted')
  const found = await listFindings(engine.db.store, allowed(engine.ctx, 'finding:read'), { kind: 'closure_waits', limit: 100 })
  const told = new Map(found.items.map(({ subject, identity, owner: whom }) => [subject, [identity, whom.id]]))
  expect([told.get(used.name), told.get(ofJob.name)]).toEqual([
    [owner.name, owner.id],
    [job.name, boss.id],
  ])
  // Rotated by hand, once the other account is gone: it ends by itself.
  await engine.db.store.query('delete from credential where name = $1', [`also-${used.name}`])
  await engine.finishedBatch(await engine.rotate([used.name]))
  await expect.poll(() => itemOf(used, closure), { timeout: 10_000 }).toMatchObject({ state: 'rotated', ended_at: expect.any(Date) })
  expect(await answer(used.name, used.password)).toBe('28P01')
  // Or the cause is mended, and Rekey is told.
  await engine.db.store.query('delete from credential where name = $1', [`also-${ofJob.name}`])
  await retryClosure(engine.parts, engine.ctx, allowed(engine.ctx, 'closure:retry'), closure, ofJob.name)
  await settled(leaver, ['closed'])
  expect(await itemOf(ofJob, closure)).toMatchObject({ state: 'rotated', why: expect.stringContaining('consumes it as desk-3') })
  expect(await answer(ofJob.name, ofJob.password)).toBe('28P01')
})

test('whose it is is suspended: nothing of that closure is touched, and it is rotated when they come back', async () => {
  const [leaver, owner] = [await person(), await person()]
  const used = await credential(owner, [{ name: 'desk-4', whose: leaver.id }])
  await engine.db.store.query('delete from consumer where credential_id = $1', [used.id])
  await suspend(owner)
  const away = await settled(owner, ['suspended'])
  await engine.db.store.query(
    "insert into consumer (id, credential_id, name, activation, identity_id) values ($1, $2, 'desk-4', 'none', $3)",
    [newId(), used.id, leaver.id],
  )
  await leave(leaver)
  const closure = await settled(leaver, ['waiting'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'handed_over', problem: { code: 'logins_stopped' } })
  expect(await itemOf(used, away)).toMatchObject({ state: 'suspended', ended_at: null })
  expect(await answer(used.name, used.password)).toBe('28000')
  await back(owner)
  await settled(owner, ['resumed'])
  await settled(leaver, ['closed'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'rotated' })
  expect(await answer(used.name, used.password)).toBe('28P01')
})

test('whose it is leaves as well: one proof of death ends both, and nothing comes back', async () => {
  const [leaver, owner] = [await person(), await person()]
  const used = await credential(owner)
  await suspend(owner)
  await settled(owner, ['suspended'])
  await engine.db.store.query(
    "insert into consumer (id, credential_id, name, activation, identity_id) values ($1, $2, 'desk-5', 'none', $3)",
    [newId(), used.id, leaver.id],
  )
  await leave(leaver)
  const closure = await settled(leaver, ['waiting'])
  await leave(owner)
  const theirs = await settled(owner, ['closed'])
  await settled(leaver, ['closed'])
  expect(await itemOf(used, theirs)).toMatchObject({ state: 'proven_dead', relation: 'own' })
  const item = await itemOf(used, closure)
  expect(item).toMatchObject({ state: 'proven_dead', relation: 'consumer', proved_dead_at: expect.any(Date) })
  expect(await answer(used.name, used.password)).toBe('28P01')
})

test('two leave at once: each closure has a rotation of its own after it, and the one who stays has the last value', async () => {
  const [one, two, owner] = [await person(), await person(), await person()]
  const used = await credential(owner, [{ name: 'a', whose: one.id }, { name: 'b', whose: two.id }, { name: owner.name }])
  await Promise.all([leave(one), leave(two)])
  const closures = [await settled(one, ['closed']), await settled(two, ['closed'])]
  for (const closure of closures) expect(await itemOf(used, closure)).toMatchObject({ state: 'rotated' })
  expect([valueIn(used.path('a')), valueIn(used.path('b'))]).toContain(used.password)
  expect(await answer(used.name, used.password)).toBe('28P01')
  const values = ['a', 'b'].map((name) => valueIn(used.path(name)))
  for (const value of values) expect(await answer(used.name, value)).toBe('28P01')
  expect(await answer(used.name, valueIn(used.path(owner.name)))).toBe('accepted')
})

const reused = async (subject: string) => {
  const { items } = await listFindings(engine.db.store, allowed(engine.ctx, 'finding:read'), { kind: 'reused', limit: 200 })
  return items.filter((one) => one.subject === subject).map(({ detail }) => detail)
}

test('the same value elsewhere (NHI9): the plan names it, and it is rotated for whose it is; the finding goes with its cause', async () => {
  const [leaver, owner, third] = [await person(), await person(), await person()]
  const own = await credential(leaver)
  const twin = await credential(owner, [{ name: owner.name }, { name: third.name }], { current: Secret.fromText(own.password) })
  await target.query(`alter role ${twin.name} password '${own.password}'`)
  const consumed = await credential(third, [{ name: 'desk-7', whose: leaver.id }, { name: third.name }])
  const twice = await credential(owner, [{ name: owner.name }], { current: Secret.fromText(consumed.password) })
  await target.query(`alter role ${twice.name} password '${consumed.password}'`)
  const stranger = await credential(owner, [{ name: owner.name }])
  const planned = new Map((await plan(leaver)).map((one) => [one.credential, one]))
  expect([...planned.keys()].sort()).toEqual([own.name, twin.name, consumed.name, twice.name].sort())
  expect(planned.get(twin.name)).toMatchObject({
    way: 'rotate',
    relation: 'same_value',
    begins: 'offboarding',
    why: `its value is also that of ${own.name}, which ${leaver.name} knows`,
    consumers: [owner.name, third.name].sort(),
  })
  expect(planned.get(twice.name)).toMatchObject({ relation: 'same_value', why: expect.stringContaining(consumed.name) })
  expect(await reused(twin.name)).toEqual([`its value is also that of ${own.name}`])
  await leave(leaver)
  const closure = await settled(leaver, ['closed'])
  for (const [one, value] of [
    [twin, own.password],
    [twice, consumed.password],
    [consumed, consumed.password],
  ] as const) {
    expect(await itemOf(one, closure)).toMatchObject({ state: 'rotated' })
    expect(await answer(one.name, value)).toBe('28P01')
  }
  expect(await itemOf(own, closure)).toMatchObject({ state: 'proven_dead' })
  expect(valueIn(twin.path(owner.name))).toBe(valueIn(twin.path(third.name)))
  expect(await answer(twin.name, valueIn(twin.path(owner.name)))).toBe('accepted')
  expect(await reused(twin.name)).toEqual([])
  expect([await answer(stranger.name, stranger.password), await itemOf(stranger, closure)]).toEqual(['accepted', null])
})

test('the same value where Rekey must not rotate it: with a human, and a finding until it is dead, not only the leaver’s own', async () => {
  const [leaver, owner] = [await person(), await person()]
  const own = await credential(leaver)
  const twin = await credential(owner, [{ name: owner.name }], { current: Secret.fromText(own.password) })
  await target.query(`alter role ${twin.name} password '${own.password}'`)
  const again = await engine.addSystem(`twin-${++serial}`, 'postgres', where(), {
    account: target.superuser.account,
    secret: target.superuser.secret,
  })
  const also = { strategy: 'in-place', accounts: [twin.name], current: Secret.fromText(newId()), identity: owner.id } as const
  await engine.addCredential(again, { ...also, name: `also-${twin.name}` })
  // The password of a root account is among them.
  await target.query(`create role root_of_${serial} login superuser password '${own.password}'`)
  const root = { account: `root_of_${serial}`, secret: Secret.fromText(own.password) }
  const name = `driven-${serial}`
  await engine.addSystem(name, 'postgres', where(), root)
  await leave(leaver)
  const closure = await settled(leaver, ['waiting'])
  expect(await itemOf(own, closure)).toMatchObject({ state: 'proven_dead' })
  expect(await itemOf(twin, closure)).toMatchObject({ state: 'handed_over', relation: 'same_value', human_id: owner.id })
  expect(await reused(twin.name)).toEqual([`its value is also that of ${own.name}, root@${name}`])
  const [rootItem] = await engine.db.store.query<Row>('select * from closure_item where credential_name = $1', [`root@${name}`])
  expect(rootItem).toMatchObject({ state: 'handed_over', human_name: 'security-contact', why: expect.stringContaining(own.name) })
  await engine.db.store.query('delete from credential where name = $1', [`also-${twin.name}`])
  await engine.finishedBatch(await engine.rotate([twin.name]))
  const may = allowed(engine.ctx, 'rotation:start')
  const started = await startRotations(engine.parts, engine.ctx, may, { system: name }, { reason: 'reused', urgent: true, root: true })
  await engine.finishedBatch(started.rotations.map(({ rotation }) => rotation))
  await settled(leaver, ['closed'])
  expect(await reused(twin.name)).toEqual([])
  expect([await answer(twin.name, own.password), await answer(root.account, own.password)]).toEqual(['28P01', '28P01'])
})

/** What somebody may do who is let into one environment. */
const within = <A extends 'closure:plan' | 'closure:read' | 'closure:resolve'>(environment: string, action: A) =>
  new Policies(defaultPolicies()).allow(engine.ctx, principal({ roles: ['bootstrap-admin'], environments: [environment] }), action)

test('what is of others is named only to who may read it, and given up only by who may say so of theirs', async () => {
  const boss = await person()
  const [leaver, holder] = [await workload(boss, 'near'), await workload(boss, 'far')]
  const used = await credential(holder, [{ name: 'desk-6', whose: leaver.id }])
  // The account with which Rekey drives a system.
  const root = { account: used.name, secret: Secret.fromText(newId()) }
  await engine.addSystem(`twin-${++serial}`, 'postgres', where(), root)
  expect(await plan(leaver, within('near', 'closure:plan'))).toMatchObject([
    { credential: '1 credential of others', system: '', accounts: [], consumers: [], begins: 'offboarding' },
  ])
  expect(await plan(leaver)).toMatchObject([{ credential: used.name, way: 'hand_over' }])
  await leave(leaver)
  const closure = await settled(leaver, ['waiting'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'handed_over', why: expect.stringContaining('Rekey drives the system') })
  const listed = async (may: Parameters<typeof closureItems>[1]) =>
    (await closureItems(engine.db.store, may, closure, { after: null, limit: 10 })).items.map(({ credential: name }) => name)
  expect(await listed(within('near', 'closure:read'))).toEqual([])
  expect(await listed(allowed(engine.ctx, 'closure:read'))).toEqual([used.name])
  const word = { credential: used.name, reason: 'it is the account of a vendor' }
  await expect(giveUpItem(engine.parts, engine.ctx, within('near', 'closure:resolve'), closure, word)).rejects.toMatchObject({
    code: 'wrong_state',
    message: expect.stringContaining('Nothing of this closure waits'),
  })
  await giveUpItem(engine.parts, engine.ctx, allowed(engine.ctx, 'closure:resolve'), closure, word)
  await settled(leaver, ['closed_unproven'])
  expect(await itemOf(used, closure)).toMatchObject({ state: 'irrevocable' })
  const found = await listFindings(engine.db.store, allowed(engine.ctx, 'finding:read'), { kind: 'irrevocable', limit: 100 })
  expect(found.items.filter(({ subject }) => subject === used.name)).toMatchObject([{ identity: holder.name }])
})

/** One system, two servers: what answers at its address is not always what answered before. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { type Proxy as LabProxy, startProxy } from '../../test/lab/proxy.ts'
import { connectorFor } from '../connectors/registry.ts'
import { newId, Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { fsckCredentials } from './fsck.ts'
import type { RotationView } from './model.ts'
import { resolveRotation, retryRotation, undoRotation } from './rotation.actions.ts'
import { acceptServer } from './server.accept.ts'
import { type CredentialSpec, Engine } from './testing.ts'

const ROOT = 'the-same-root-value-on-both'
let one: LabPostgres
let two: LabPostgres
let engine: Engine
const open: LabProxy[] = []

beforeAll(async () => {
  ;[one, two, engine] = await Promise.all([startPostgres({ fsync: false }), startPostgres({ fsync: false }), Engine.start()])
  for (const server of [one, two]) await server.query(`create role rekey_root login superuser password '${ROOT}'`)
})
afterAll(async () => {
  await engine.stop()
  for (const proxy of open) await proxy.stop()
  await Promise.all([one.stop(), two.stop()])
})

/** A system behind a proxy that leads to the first server, and an account that both servers have. */
async function makeSystem(more: Partial<CredentialSpec> = {}) {
  const proxy = await startProxy(one)
  open.push(proxy)
  const name = `s${newId().slice(-10)}`
  const address = { host: '127.0.0.1', port: proxy.port, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem(name, 'postgres', address, { account: 'rekey_root', secret: Secret.fromText(ROOT) })
  const account = `a${name}`
  for (const server of [one, two]) await server.query(`create role ${account} login password 'declared'`)
  const spec = { name: account, strategy: 'in-place', accounts: [account], current: Secret.fromText('declared'), ...more } as const
  await engine.addCredential(system, spec)
  return { proxy, system, name, account }
}

const verifier = async (server: LabPostgres, account: string) =>
  (await server.query<{ v: string }>('select rolpassword as v from pg_authid where rolname = $1', [account]))[0]?.v

/** The second server gets all that the first has, as a restore of another cluster would. */
async function copyValue(account: string): Promise<void> {
  await two.query(`alter role ${account} password '${await verifier(one, account)}'`)
}

async function says(server: LabPostgres, account: string, value: string): Promise<string> {
  const address = { host: server.host, port: server.port, database: 'postgres', tls: 'off' } as const
  const way = connectorFor('postgres').open({ name: 'x', address, rootAccount: 'x', rootSecrets: [], timeoutMs: 5_000, concurrent: 1 })
  const { outcome } = await way.probe(engine.ctx, account, Secret.fromText(value))
  await way.close()
  return outcome
}

const retry = (id: string) => retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)
const undo = (id: string) => undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), id, 'test')
const accept = (name: string, apart = false) =>
  acceptServer(engine.parts, engine.ctx, allowed(engine.ctx, 'system:accept-server'), name, { reason: 'test', apart })
const goOn = (id: string) =>
  resolveRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:resolve'), id, {
    kind: 'override-activation',
    by: 'somebody',
    reason: 'test',
  })
const expectOther = (view: RotationView, from: string) => {
  expect(view).toMatchObject({ state: 'blocked', blockedFrom: from, reason: expect.stringContaining('Another server') })
  expect(view.hint).toContain('rekey system accept-server')
}
const waiting = { consumers: [{ name: 'web', activation: 'report' }] } as const

test('at the first contact the server goes on record, with evidence', async () => {
  const { name, account } = await makeSystem()
  const [id = ''] = await engine.rotate([account])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  const [{ identifier } = { identifier: '' }] = await one.query<{ identifier: string }>(
    'select system_identifier::text as identifier from pg_control_system()',
  )
  const [row] = await engine.db.store.query<{ server: object; seen: boolean }>(
    'select server, server_seen_at is not null as seen from system where name = $1',
    [name],
  )
  expect(row).toEqual({ server: { run: null, facts: { system_identifier: identifier } }, seen: true })
  const [event] = await engine.db.store.query<{ body: string }>(
    `select body from evidence_event where body like '%"system.server_seen"%' and subject = $1`,
    [name],
  )
  expect(JSON.parse(event?.body ?? '{}').data).toEqual({ facts: { system_identifier: identifier }, rootAccount: 'rekey_root' })
})

test('another server between install and proof is never a proof of death; the right one is, when it is back', async () => {
  const { proxy, account } = await makeSystem(waiting)
  const [id = ''] = await engine.rotate([account])
  await engine.until(id, ({ state }) => state === 'distributed')
  // It refuses the old value and accepts the new one, as a proof would need it.
  await copyValue(account)
  proxy.leadTo(two)
  await goOn(id)
  const view = await engine.finished(id)
  expect(view.state).toBe('blocked')
  expect(view.reason).toContain('Another server')
  expect(view.provedDeadAt).toBeNull()
  proxy.leadTo(one)
  await retry(id)
  expect((await engine.finished(id)).state).toBe('proven_dead')
})

test('before the install nothing is changed on another server', async () => {
  const { proxy, account } = await makeSystem()
  const [first = ''] = await engine.rotate([account])
  expect((await engine.finished(first)).state).toBe('proven_dead')
  proxy.leadTo(two)
  proxy.refuse()
  proxy.heal()
  const before = await verifier(two, account)
  const [id = ''] = await engine.rotate([account])
  expectOther(await engine.finished(id), 'planned')
  expect(await verifier(two, account)).toBe(before)
})

test('an undo does not touch another server', async () => {
  const { proxy, account } = await makeSystem(waiting)
  const [id = ''] = await engine.rotate([account])
  await engine.until(id, ({ state }) => state === 'distributed')
  await copyValue(account)
  proxy.leadTo(two)
  proxy.refuse()
  proxy.heal()
  const before = await verifier(two, account)
  await undo(id)
  expectOther(await engine.finished(id), 'undoing')
  expect(await verifier(two, account)).toBe(before)
  proxy.leadTo(one)
  await retry(id)
  expect((await engine.finished(id)).state).toBe('undone')
  expect(await says(one, account, 'declared')).toBe('accepted')
})

test('a server that a human accepts is rotated; what the one before answered counts no more', async () => {
  const { proxy, name, account } = await makeSystem()
  const [first = ''] = await engine.rotate([account])
  expect((await engine.finished(first)).state).toBe('proven_dead')
  await copyValue(account)
  await two.query(`alter role ${account} password 'of another server'`)
  proxy.leadTo(two)
  expect(await accept(name)).toMatchObject({ changed: true })
  const [second = ''] = await engine.rotate([account])
  const view = await engine.finished(second)
  expect(view).toMatchObject({ state: 'not_provable', reason: expect.stringContaining('not accepted before the change (refused)') })
  const [third = ''] = await engine.rotate([account])
  expect((await engine.finished(third)).state).toBe('proven_dead')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

/** One account of the server, declared at both systems: as `…@a` and `…@b`. */
async function shareAccount(prefix: string, a: string, b: string): Promise<string> {
  const account = `${prefix}${newId().slice(-8)}`
  await one.query(`create role ${account} login password 'declared'`)
  const spec = { strategy: 'in-place', accounts: [account], current: Secret.fromText('declared') } as const
  await engine.addCredential(a, { ...spec, name: `${account}@a` })
  await engine.addCredential(b, { ...spec, name: `${account}@b` })
  return account
}

test('two systems on one server by two ways: what they share is rotated by neither', async () => {
  const a = await makeSystem()
  const b = await makeSystem()
  const shared = await shareAccount('shared', a.system, b.system)
  const before = await verifier(one, shared)
  const [id = ''] = await engine.rotate([`${shared}@a`])
  const view = await engine.finished(id)
  expect(view).toMatchObject({ state: 'blocked', blockedFrom: 'planned', oldVersion: 1, newVersion: null })
  expect(view.reason).toBe(`The account "${shared}" of ${a.name} is that of ${shared}@b already: ${b.name} and ${a.name} are one server.`)
  expect(await verifier(one, shared)).toBe(before)
  // The root that both have.
  const [root = ''] = await engine.rotate([`root@${b.name}`], { root: true })
  expect(await engine.finished(root)).toMatchObject({ state: 'blocked', reason: expect.stringContaining('are one server') })
  expect(await says(one, 'rekey_root', ROOT)).toBe('accepted')
  // What is not shared goes on.
  const [own = ''] = await engine.rotate([a.account])
  expect((await engine.finished(own)).state).toBe('proven_dead')
  // Unless somebody says that one is a copy, with accounts of its own: then each is its own.
  await expect(accept(b.name)).resolves.toMatchObject({ changed: false })
  await accept(b.name, true)
  await retry(id)
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await expect(accept(b.name, false)).rejects.toMatchObject({ code: 'conflict' })
})

test('an account of another system that does not answer holds nothing up', async () => {
  const a = await makeSystem()
  const b = await makeSystem()
  const shared = await shareAccount('gone', a.system, b.system)
  b.proxy.refuse()
  const [id = ''] = await engine.rotate([`${shared}@a`])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  b.proxy.heal()
  const [later = ''] = await engine.rotate([`${shared}@b`])
  expect(await engine.finished(later)).toMatchObject({ state: 'blocked', reason: expect.stringContaining('are one server') })
})

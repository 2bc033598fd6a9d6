import { afterAll, beforeAll, expect, test } from 'vitest'
import { heldLogin, type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { type RekeyError, Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { fsckCredentials } from './fsck.ts'
import { decommissionSystem } from './inventory.decommission.ts'
import { findCredential, listSystems, listVersions } from './inventory.list.ts'
import { recheckRoots } from './inventory.root.recheck.ts'
import { setRoot } from './inventory.root.ts'
import { shredDue } from './shred.ts'
import { Engine } from './testing.ts'

/** Shorter than PostgreSQL's minute. */
const WINDOW_MS = 3_000
let target: LabPostgres
let engine: Engine
let serial = 0
beforeAll(async () => {
  ;[target, engine] = await Promise.all([
    startPostgres({ fsync: false }),
    Engine.start({ worker: false, parts: { shredAfterSeconds: 0, loginWindowMs: WINDOW_MS } }),
  ])
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

interface Made {
  readonly name: string
  readonly account: string
  readonly id: string
}

/** A system with a root account of its own on the lab server, whose value is `first`. */
async function makeSystem(port = target.port): Promise<Made> {
  const account = `root_${++serial}`
  await target.query(`create role ${account} login superuser password 'first'`)
  const address = { host: target.host, port, database: 'postgres', tls: 'off' } as const
  const id = await engine.addSystem(`db-${serial}`, 'postgres', address, { account, secret: Secret.fromText('first') })
  return { name: `db-${serial}`, account, id }
}

const set = (name: string, value: string) =>
  setRoot(engine.parts, engine.ctx, allowed(engine.ctx, 'system:set-root'), name, Secret.fromText(value))
const giveUp = (name: string, unprovable = false, reason = 'scrapped') =>
  decommissionSystem(engine.parts, engine.ctx, allowed(engine.ctx, 'system:decommission'), name, { reason, unprovable })
const refusal = (doing: Promise<unknown>): Promise<RekeyError> =>
  doing.then(
    () => expect.unreachable('it was not refused'),
    (error: RekeyError) => error,
  )
async function versionsOf(name: string) {
  return listVersions(engine.db.store, (await findCredential(engine.db.store, name))?.id ?? '')
}
async function eventsOf(subject: string): Promise<{ type: string; body: string; actor: string }[]> {
  return engine.db.store.query(
    "select body::jsonb ->> 'type' as type, body::jsonb ->> 'actor' as actor, body from evidence_event where subject = $1 order by id",
    [subject],
  )
}

test('a value changed by hand is taken over, the one before proven dead, and rotations go on with it', async () => {
  const { name, account, id } = await makeSystem()
  await target.query(`create role app_1 login password 'app'`)
  await engine.addCredential(id, { name: 'app-1', strategy: 'in-place', accounts: ['app_1'], current: Secret.fromText('app') })
  await target.query(`alter role ${account} password 'second'`)
  // Nobody saw the declared value work, so that its refusal proves nothing; the one told now was seen.
  expect(await set(name, 'second')).toEqual({ version: 2, changed: true, old: 'unprovable', stillAt: [] })
  await target.query(`alter role ${account} password 'third'`)
  expect(await set(name, 'third')).toEqual({ version: 3, changed: true, old: 'dead', stillAt: [] })
  expect(await versionsOf(`root@${name}`)).toMatchObject([
    { number: 3, state: 'current', installedAt: null, lastProbe: { outcome: 'accepted' } },
    { number: 2, state: 'dead', lastProbe: { outcome: 'refused' } },
    { number: 1, state: 'unprovable', lastProbe: { outcome: 'refused' } },
  ])
  expect((await eventsOf(`root@${name}`)).map(({ type }) => type).slice(-2)).toEqual(['root.tried', 'root.set'])
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  await shredDue(engine.parts, engine.ctx)
  expect((await versionsOf(`root@${name}`)).map(({ valueHeld }) => valueHeld)).toEqual([true, false, false])
  const worker = await engine.addWorker()
  const [rotation = ''] = await engine.rotate(['app-1'])
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
  await worker.stop()
  expect(await set(name, 'third')).toEqual({ version: 3, changed: false, old: null, stillAt: [] })
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('a login with the value before that was under way ends a moment after it could come in', async () => {
  const { name, account } = await makeSystem()
  const declared = await set(name, 'first')
  expect(declared.changed).toBe(false)
  await engine.db.store.query(
    `update version v set last_probe = jsonb_build_object('outcome', 'accepted', 'code', 'ok', 'at', now(), 'where', s.place)
       from credential c join system s on s.id = c.system_id where c.id = v.credential_id and c.name = $1`,
    [`root@${name}`],
  )
  const held = await heldLogin(target, account, 'first')
  await target.query(`alter role ${account} password 'second'`)
  expect(await set(name, 'second')).toMatchObject({ old: 'dead' })
  const session = await held.finish()
  expect((await session.query('select current_user as who')).rows).toEqual([{ who: account }])
  const isOpen = () =>
    session.query('select 1').then(
      () => true,
      () => false,
    )
  expect(await isOpen()).toBe(true)
  await recheckRoots(engine.parts, engine.ctx)
  expect(await isOpen(), 'not before its time').toBe(true)
  await sleep(WINDOW_MS)
  await recheckRoots(engine.parts, engine.ctx)
  expect(await isOpen()).toBe(false)
  const told = await eventsOf(`root@${name}`)
  expect(told.at(-1)?.type).toBe('root.rechecked')
  expect(JSON.parse(told.at(-1)?.body ?? '').data).toEqual({ version: 1, sessionsEnded: 1 })
  // Once.
  await recheckRoots(engine.parts, engine.ctx)
  expect(await eventsOf(`root@${name}`)).toHaveLength(told.length)
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('with a session of the account still open nobody can say that the value before is dead', async () => {
  const { name, account } = await makeSystem()
  const { default: pg } = await import('pg')
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user: account, password: 'first' })
  await client.connect()
  await engine.db.store.query(
    `update version v set last_probe = '{"outcome":"accepted","code":"ok"}' from credential c where c.id = v.credential_id and c.name = $1`,
    [`root@${name}`],
  )
  await target.query(`alter role ${account} password 'second'`)
  expect(await set(name, 'second')).toMatchObject({ old: 'unprovable' })
  await client.end()
  await target.query(`alter role ${account} password 'third'`)
  expect(await set(name, 'third')).toMatchObject({ old: 'dead' })
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('a value that the system refuses changes nothing and is destroyed at once', async () => {
  const { name } = await makeSystem()
  const error = await refusal(set(name, 'a-wrong-value'))
  expect([error.code, error.message]).toEqual(['target_not_authorised', expect.stringContaining('refused (28P01)')])
  expect(await versionsOf(`root@${name}`)).toMatchObject([
    { number: 2, state: 'void', valueHeld: false },
    { number: 1, state: 'current', valueHeld: true },
  ])
  expect((await eventsOf(`root@${name}`)).map(({ type }) => type).slice(-3)).toEqual(['root.tried', 'root.refused', 'version.shredded'])
  expect(await fsckCredentials(engine.db.store)).toEqual([])
  const everything = await engine.db.store.query('select body from evidence_event')
  expect(JSON.stringify(everything)).not.toContain('a-wrong-value')
})

test('a system that does not answer, a rotation under way, an unknown name and a value with a line break change nothing', async () => {
  const silent = await makeSystem(1)
  expect((await refusal(set(silent.name, 'x'))).code).toBe('target_unreachable')
  expect(await versionsOf(`root@${silent.name}`)).toMatchObject([{ state: 'void' }, { state: 'current' }])
  const busy = await makeSystem()
  const [rotation] = await engine.rotate([`root@${busy.name}`], { root: true })
  expect((await refusal(set(busy.name, 'x'))).code).toBe('conflict')
  expect(await versionsOf(`root@${busy.name}`)).toHaveLength(1)
  await engine.db.store.query("update rotation set state = 'undone', ended_at = now(), due_at = null where id = $1", [rotation])
  expect((await refusal(set('nowhere', 'x'))).code).toBe('not_found')
  expect((await refusal(set(busy.name, 'x\ny'))).code).toBe('bad_input')
})

test('a value is stored before it is tried; one that a dead process left undecided is destroyed when its time has come', async () => {
  const { name, account } = await makeSystem()
  await target.query(`alter role ${account} password 'second'`)
  let stored = 0
  const watching = {
    ...engine.parts,
    targets: Object.assign(Object.create(engine.parts.targets) as typeof engine.parts.targets, {
      of: async () => {
        stored = (await engine.db.store.query("select id from version where state = 'staged' and sealed is not null")).length
        // As if the process died here: it never comes back.
        return new Promise<never>(() => undefined)
      },
    }),
  }
  void setRoot(watching, engine.ctx, allowed(engine.ctx, 'system:set-root'), name, Secret.fromText('second'))
  while (stored === 0) await sleep(10)
  expect(stored).toBe(1)
  await shredDue(engine.parts, engine.ctx)
  expect((await versionsOf(`root@${name}`))[0]).toMatchObject({ state: 'staged', valueHeld: true })
  await engine.db.store.query("update version set shred_after = now() where state = 'staged'")
  await shredDue(engine.parts, engine.ctx)
  expect((await versionsOf(`root@${name}`))[0]).toMatchObject({ state: 'void', valueHeld: false })
  expect(await set(name, 'second')).toMatchObject({ version: 3, changed: true })
})

test('a system is given up only when nothing on it is alive; its root secret is destroyed, its state is on record', async () => {
  const { name, id } = await makeSystem()
  await engine.addCredential(id, { name: 'alive-1', strategy: 'in-place', accounts: ['alive_1'], current: Secret.fromText('x') })
  for (const unprovable of [false, true]) {
    const error = await refusal(giveUp(name, unprovable))
    expect(error.code).toBe('conflict')
    expect(error.faults).toEqual([{ path: 'alive-1', message: 'Version 1 is current.' }])
  }
  expect((await refusal(giveUp(name, false, ' '))).code).toBe('bad_input')
  await engine.db.store.query("delete from credential where name = 'alive-1'")
  expect(await giveUp(name)).toEqual({ notProvable: 0, rotations: 0, root: 'accepted' })
  expect(await versionsOf(`root@${name}`)).toMatchObject([{ state: 'irrevocable', valueHeld: true }])
  await shredDue(engine.parts, engine.ctx)
  expect(await versionsOf(`root@${name}`)).toMatchObject([{ state: 'irrevocable', valueHeld: false }])
  const [told] = (await eventsOf(name)).filter(({ type }) => type === 'system.decommissioned')
  expect(told?.actor).toBe(engine.ctx.actor)
  expect(told?.body).toContain('"reason":"scrapped"')
  expect((await listSystems(engine.db.store)).find((system) => system.name === name)?.decommissionedAt).not.toBeNull()
  expect((await refusal(giveUp(name))).code).toBe('wrong_state')
  expect((await refusal(set(name, 'first'))).code).toBe('wrong_state')
  await expect(engine.rotate([`root@${name}`], { root: true })).rejects.toMatchObject({ code: 'not_found' })
})

test('what is alive on a system that does not answer ends as not provable, by name and reason, only when that is said', async () => {
  const { name, id } = await makeSystem(1)
  for (const account of ['gone_1', 'gone_2', 'gone_3']) {
    const more = { strategy: 'in-place', accounts: [account], current: Secret.fromText('x'), everySeconds: 3600 } as const
    await engine.addCredential(id, { name: account, ...more })
  }
  const [blocked = ''] = await engine.rotate(['gone_1'])
  const [planned = ''] = await engine.rotate(['gone_2'])
  await engine.db.store.query("update rotation set state = 'blocked', blocked_from = 'planned', due_at = null where id = $1", [blocked])
  expect((await refusal(giveUp(name))).faults).toHaveLength(5)
  const moving = await refusal(giveUp(name, true))
  expect(moving.faults).toEqual([{ path: 'gone_2', message: 'A rotation is planned.' }])
  await engine.db.store.query("update rotation set state = 'undone', ended_at = now(), due_at = null where id = $1", [planned])
  expect(await giveUp(name, true, 'burnt down')).toEqual({ notProvable: 3, rotations: 1, root: 'unreachable' })
  for (const account of ['gone_1', 'gone_2', 'gone_3']) expect(await versionsOf(account)).toMatchObject([{ state: 'unprovable' }])
  const remarks: string[] = []
  const findings = await fsckCredentials(engine.db.store, (where, what) => remarks.push(`${where}: ${what}`))
  // What this test did by SQL is found, and nothing of what the engine did.
  expect(findings.filter(({ where }) => where.includes('gone')).map(({ where }) => where)).toEqual([
    `rotation ${blocked} of gone_1`,
    `rotation ${planned} of gone_2`,
  ])
  const said = 'nobody can prove whether it is dead; test said: the system was decommissioned: burnt down.'
  expect(remarks).toContain(`version 1 of gone_1: ${said}`)
  expect(remarks).toContain(`version 1 of root@${name}: ${said}`)
  await shredDue(engine.parts, engine.ctx)
  expect(await versionsOf('gone_3')).toMatchObject([{ state: 'unprovable', valueHeld: false }])
})

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { joinIdentity, moveIdentity, offboardIdentity, recordsById, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { newId, Secret, sleep } from '../kernel/index.ts'
import { defaultPolicies, Policies } from '../policy/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import { closeCredentials } from './closure.changes.ts'
import { endCredential } from './closure.end.ts'
import { closureItems } from './closure.list.ts'
import type { ClosureState } from './closure.model.ts'
import { planAnew } from './closure.plan.ts'
import { startRotations } from './rotation.actions.ts'
import { type CredentialSpec, Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string
const stopped: string[] = []

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ parts: { loginWindowMs: 1_000 } })])
  system = await engine.addSystem('orders-db', 'postgres', where(), { account: target.superuser.account, secret: target.superuser.secret })
  await engine.addCloser({
    stops: [
      async (_tx, _ctx, { identity }) => {
        stopped.push(identity)
        return { sessions: 2 }
      },
    ],
  })
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

const where = () => ({ host: target.host, port: target.port, database: 'postgres', tls: 'off' }) as const
const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)

let serial = 0
async function person(owner?: string): Promise<{ id: string; name: string }> {
  const kind = owner === undefined ? 'human' : 'workload'
  const name = `${kind}-${++serial}`
  const owned = owner === undefined ? {} : { owner: { kind: 'person', id: owner } as const, environment: 'test' }
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind, purpose: 'tests', source: 'api', ...owned })), name }
}

/** A role on the server and its credential. */
async function credential(identity: string, more: Partial<CredentialSpec> = {}): Promise<{ id: string; name: string; password: string }> {
  const name = `role_${++serial}`
  const password = `pass-${newId()}`
  await target.query(`create role ${name} login password '${password}'`)
  const spec = { name, strategy: 'in-place', accounts: [name], current: Secret.fromText(password), identity, ...more } as const
  return { id: await engine.addCredential(system, spec), name, password }
}

async function login(user: string, password: string): Promise<pg.Client | string> {
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (error) {
    return (error as { code?: string }).code ?? 'unknown'
  }
}

async function answer(user: string, password: string): Promise<string> {
  const client = await login(user, password)
  if (typeof client === 'string') return client
  await client.end()
  return 'accepted'
}

async function settled(identity: string, states: readonly ClosureState[], ms = 20_000): Promise<string> {
  for (const until = engine.ctx.clock.monotonicMs() + ms; ; await sleep(20)) {
    const [row] = await engine.db.store.query<{ id: string; state: ClosureState }>(
      'select id, state from closure where identity_id = $1 order by id desc limit 1',
      [identity],
    )
    if (row !== undefined && states.includes(row.state)) return row.id
    if (engine.ctx.clock.monotonicMs() > until) {
      const items = await engine.db.store.query('select credential_name, state, problem from closure_item')
      throw new Error(`the closure is ${row?.state}: ${JSON.stringify(items)}`)
    }
  }
}

async function itemOf(credential: string): Promise<Record<string, unknown>> {
  const [row] = await engine.db.store.query<Record<string, unknown>>(
    'select * from closure_item where credential_id = $1 order by id desc limit 1',
    [credential],
  )
  return row ?? {}
}

async function storyOf(credential: string): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const rows = await engine.db.store.query<{ body: string }>(
    'select body from evidence_event where body like $1 and body like \'%"type":"logins.%\' order by id',
    [`%"credential":"${credential}"%`],
  )
  return rows.map(({ body }) => JSON.parse(body))
}

test('offboarding: suspended, destroyed and proven dead, with its sessions; what others use is rotated into their file', async () => {
  const leaver = await person()
  const own = await credential(leaver.id)
  const path = join(engine.folder, 'shared.secret')
  const shared = await credential(leaver.id, { consumers: [{ name: 'nightly-report', path, activation: 'none' }] })
  writeFileSync(path, `${shared.password}\n`)
  const session = await login(own.name, own.password)
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left the company'))
  const id = await settled(leaver.id, ['closed'])
  expect(stopped).toContain(leaver.id)
  expect(await answer(own.name, own.password)).toBe('28P01')
  expect(await answer(shared.name, shared.password)).toBe('28P01')
  expect(await answer(shared.name, readFileSync(path, 'utf8').trim())).toBe('accepted')
  await expect((session as pg.Client).query('select 1')).rejects.toThrow()
  expect(await itemOf(own.id)).toMatchObject({ state: 'proven_dead', closure_id: id, sessions_ended: 1, attempt_step: null, due_at: null })
  expect(await itemOf(shared.id)).toMatchObject({ state: 'rotated' })
  // The old value of what was rotated is as dead as that of what was destroyed, and said to be.
  const { items } = await closureItems(engine.db.store, allowed(engine.ctx, 'closure:read'), id, { after: null, limit: 100 })
  expect(items.map(({ state, provedDeadAt }) => [state, provedDeadAt !== null])).toEqual(
    expect.arrayContaining([
      ['proven_dead', true],
      ['rotated', true],
    ]),
  )
  const story = await storyOf(own.id)
  expect(story.map(({ type }) => type)).toEqual(
    ['planned', 'suspending', 'suspended', 'destroying', 'destroyed', 'proven_dead'].map((state) => `logins.${state}`),
  )
  expect(story.at(-1)?.data).toMatchObject({
    control: { outcome: 'accepted' },
    values: [{ version: 1, outcome: 'refused', code: '28P01' }],
    mayLogIn: { [own.name]: false },
    sessionsLeft: 0,
  })
  const versions = await engine.db.store.query('select state, proved_dead_at, shred_after from version where credential_id = $1', [own.id])
  expect(versions).toEqual([{ state: 'dead', proved_dead_at: expect.any(Date), shred_after: expect.any(Date) }])
  expect(
    await answer(
      target.superuser.account,
      target.superuser.secret.revealText((text) => text),
    ),
  ).toBe('accepted')
})

test('a rotation of what has ended says that it ended; whoever may not touch it hears what they hear of what is not there', async () => {
  const leaver = await person()
  const boss = await person()
  const program = await person(boss.id)
  const [own, run] = [await credential(leaver.id), await credential(program.id)]
  const options = { reason: 'leaked', urgent: true }
  const start = (names: string[], may = allowed(engine.ctx, 'rotation:start')) =>
    startRotations(engine.parts, engine.ctx, may, { names }, options)
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left the company'))
  await inTx((tx) => offboardIdentity(tx, engine.ctx, program.id, 'not needed'))
  await settled(leaver.id, ['closed'])
  await settled(program.id, ['closed'])
  await expect(start([own.name])).rejects.toMatchObject({
    code: 'wrong_state',
    message: `${own.name} has ended: its identity ${leaver.name} has left. It has no value that could be rotated.`,
    hint: expect.stringContaining(`rekey credential show ${own.name}`),
  })
  const no = (names: string[]) => ({
    code: 'not_found',
    message: `No such credential: ${names.join(', ')}.`,
    hint: 'See rekey credential list.',
  })
  await expect(start([own.name, 'nothing'])).rejects.toMatchObject(no(['nothing']))
  const elsewhere = principal({ roles: ['bootstrap-admin'], environments: ['prod'] })
  const theirs = new Policies(defaultPolicies()).allow(engine.ctx, elsewhere, 'rotation:start')
  await expect(start([run.name], theirs)).rejects.toMatchObject(no([run.name]))
  await expect(start(['nothing'], theirs)).rejects.toMatchObject(no(['nothing']))
})

test("the leaver's own consumers get no new value, nor do those of others who are gone; everybody else does", async () => {
  const leaver = await person()
  const gone = await person()
  const colleague = await person()
  await inTx((tx) => suspendIdentity(tx, engine.ctx, gone.id, 'away'))
  const names = [leaver.name, `${leaver.name}-laptop`, gone.name, colleague.name, 'nightly-report']
  const path = (name: string) => join(engine.folder, `${name}.of-shared.env`)
  const consumers = names.map((name) => ({ name, path: path(name), key: 'PASSWORD', activation: 'none' as const }))
  const shared = await credential(leaver.id, { consumers })
  for (const name of names) writeFileSync(path(name), `PASSWORD=${shared.password}\nOTHER=1\n`)
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['closed'])
  const held = () => names.map((name) => /^PASSWORD=(.*)$/m.exec(readFileSync(path(name), 'utf8'))?.[1] ?? '')
  const [own, laptop, ofGone, ofColleague, report] = held()
  expect([own, laptop, ofGone]).toEqual([shared.password, shared.password, shared.password])
  expect(ofColleague).toBe(report)
  expect([await answer(shared.name, shared.password), await answer(shared.name, report ?? '')]).toEqual(['28P01', 'accepted'])
  // Nothing lies ready beside them either, and evidence names who was left out.
  expect(readdirSync(engine.folder).filter((name) => name.endsWith('.rekey-new'))).toEqual([])
  const [event] = await engine.db.store.query<{ body: string }>(
    `select body from evidence_event where body like '%"type":"rotation.distributed"%' and body like $1`,
    [`%"credential":"${shared.id}"%`],
  )
  const told = JSON.parse(event?.body ?? '{}').data
  expect(told.consumers.sort()).toEqual([colleague.name, 'nightly-report'].sort())
  expect(told.leftOut.sort()).toEqual([leaver.name, `${leaver.name}-laptop`, gone.name].sort())
  // Nor by any rotation that comes later, while who was only away has it again.
  await inTx((tx) => resumeIdentity(tx, engine.ctx, gone.id, 'back'))
  await engine.finishedBatch(await engine.rotate([shared.name]))
  const later = held()
  expect(later.slice(0, 2)).toEqual([shared.password, shared.password])
  expect(new Set(later.slice(2)).size).toBe(1)
  expect(await answer(shared.name, later[2] ?? '')).toBe('accepted')
})

test('what the fleet file says of a consumer decides, by id, whatever the two are called by now', async () => {
  const leaver = await person()
  const colleague = await person()
  const names = ['laptop-17', `${leaver.name}-desk`, leaver.name, 'report']
  const path = (name: string) => join(engine.folder, `${name}.declared`)
  const whose = [leaver.id, colleague.id, colleague.id, undefined]
  const consumers = names.map((name, at) => ({
    name,
    path: path(name),
    activation: 'none' as const,
    ...(whose[at] === undefined ? {} : { whose: whose[at] }),
  }))
  const shared = await credential(leaver.id, { consumers })
  const alone = await credential(leaver.id, { consumers: [{ name: 'laptop-17-too', activation: 'none', whose: leaver.id }] })
  for (const name of names) writeFileSync(path(name), shared.password)
  await inTx((tx) => moveIdentity(tx, engine.ctx, leaver.id, { name: `was-${leaver.name}` }))
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['closed'])
  const held = names.map((name) => readFileSync(path(name), 'utf8').trim())
  expect(held[0]).toBe(shared.password)
  expect(new Set(held.slice(1)).size).toBe(1)
  expect([await answer(shared.name, shared.password), await answer(shared.name, held[1] ?? '')]).toEqual(['28P01', 'accepted'])
  expect(await itemOf(shared.id)).toMatchObject({ state: 'rotated', consumers: [leaver.name, `${leaver.name}-desk`, 'report'] })
  expect(await itemOf(alone.id)).toMatchObject({ state: 'proven_dead', consumers: [] })
})

test('a consumer that is declared to be of somebody who has left keeps no credential alive', async () => {
  const gone = await person()
  const leaver = await person()
  await inTx((tx) => offboardIdentity(tx, engine.ctx, gone.id, 'left'))
  const own = await credential(leaver.id, { consumers: [{ name: 'old-laptop', activation: 'none', whose: gone.id }] })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left too'))
  await settled(leaver.id, ['closed'])
  expect(await itemOf(own.id)).toMatchObject({ state: 'proven_dead', way: 'suspend' })
})

test('suspended and resumed: the same value works again, and the schedule waits meanwhile', async () => {
  const away = await person()
  const own = await credential(away.id, { everySeconds: 1 })
  await engine.db.store.query("update credential set next_rotation_at = now() + interval '1 hour' where id = $1", [own.id])
  await inTx((tx) => suspendIdentity(tx, engine.ctx, away.id, 'laptop lost'))
  await settled(away.id, ['suspended'])
  expect(await answer(own.name, own.password)).toBe('28000')
  await engine.db.store.query('update credential set next_rotation_at = now() where id = $1', [own.id])
  await expect(engine.rotate([own.name])).rejects.toMatchObject({ code: 'conflict' })
  await sleep(1_500)
  expect(await engine.db.store.query('select id from rotation where credential_id = $1', [own.id])).toEqual([])
  await engine.db.store.query('update credential set next_rotation_at = null, every_seconds = null where id = $1', [own.id])
  await inTx((tx) => resumeIdentity(tx, engine.ctx, away.id, 'laptop found'))
  await settled(away.id, ['resumed'])
  expect(await answer(own.name, own.password)).toBe('accepted')
  expect((await storyOf(own.id)).at(-1)).toMatchObject({ type: 'logins.resumed', data: { values: [{ outcome: 'accepted' }] } })
})

test('a suspension is turned to the end, and nothing leads back', async () => {
  const leaver = await person()
  const own = await credential(leaver.id)
  await inTx((tx) => suspendIdentity(tx, engine.ctx, leaver.id, 'notice given'))
  const first = await settled(leaver.id, ['suspended'])
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'last day'))
  expect(await settled(leaver.id, ['closed'])).toBe(first)
  expect(await itemOf(own.id)).toMatchObject({ state: 'proven_dead' })
  expect(await answer(own.name, own.password)).toBe('28P01')
})

test('a value that is said to be out is not given back; offboarding ends it', async () => {
  const away = await person()
  const own = await credential(away.id)
  await inTx((tx) => suspendIdentity(tx, engine.ctx, away.id, 'away'))
  await settled(away.id, ['suspended'])
  await engine.db.store.query("update version set leaked_at = now(), leaked_reason = 'on a forum' where credential_id = $1", [own.id])
  await inTx((tx) => resumeIdentity(tx, engine.ctx, away.id, 'back'))
  await settled(away.id, ['waiting'])
  expect(await itemOf(own.id)).toMatchObject({ state: 'blocked', human_name: 'security-contact' })
  expect(await answer(own.name, own.password)).toBe('28000')
  await inTx((tx) => offboardIdentity(tx, engine.ctx, away.id, 'new identity instead'))
  await settled(away.id, ['closed'])
  expect(await answer(own.name, own.password)).toBe('28P01')
})

test('what was shut before is not opened by a resume', async () => {
  const away = await person()
  const own = await credential(away.id)
  await target.query(`alter role ${own.name} nologin`)
  await inTx((tx) => suspendIdentity(tx, engine.ctx, away.id, 'away'))
  await settled(away.id, ['suspended'])
  await inTx((tx) => resumeIdentity(tx, engine.ctx, away.id, 'back'))
  await settled(away.id, ['resumed'])
  expect(await answer(own.name, own.password)).toBe('28000')
})

test('a value that was never right is ended and not called proven', async () => {
  const leaver = await person()
  const own = await credential(leaver.id, { current: Secret.fromText('not the password') })
  const unknown = await credential(leaver.id, { current: null })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['closed_unproven'])
  expect(await itemOf(own.id)).toMatchObject({ state: 'not_provable' })
  expect(await itemOf(unknown.id)).toMatchObject({ state: 'not_provable' })
  expect(await answer(own.name, own.password)).toBe('28P01')
  expect(await answer(unknown.name, unknown.password)).toBe('28P01')
})

test("never the account of others: Rekey's own and a shared one go to a human, untouched", async () => {
  const boss = await person()
  const leaver = await person(boss.id)
  const first = await credential(leaver.id)
  const other = await person(boss.id)
  const twin = await engine.addSystem('orders-db-again', 'postgres', where(), { account: 'postgres', secret: target.superuser.secret })
  const spec = { strategy: 'in-place', accounts: [first.name], current: Secret.fromText(first.password) } as const
  await engine.addCredential(twin, { ...spec, name: 'the-same', identity: other.id })
  const root = await engine.addCredential(twin, {
    name: 'by-hand',
    strategy: 'in-place',
    accounts: ['postgres'],
    current: target.superuser.secret,
    identity: leaver.id,
  })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'end of life'))
  await settled(leaver.id, ['waiting'])
  expect(await itemOf(first.id)).toMatchObject({
    state: 'handed_over',
    why: 'its account is also that of the-same',
    human_kind: 'person',
    human_id: boss.id,
    human_name: boss.name,
  })
  expect(await itemOf(root)).toMatchObject({ state: 'handed_over', why: 'its account is the one with which Rekey drives the system' })
  expect(await answer(first.name, first.password)).toBe('accepted')
})

test('what an offboarding rotated for others is ended by a word of its own, with a proof, and only of who has left', async () => {
  const boss = await person()
  const leaver = await person(boss.id)
  const path = join(engine.folder, `kept-${newId()}`)
  const own = await credential(leaver.id, { consumers: [{ name: 'other-report', path, activation: 'none' }] })
  writeFileSync(path, own.password)
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  const may = allowed(engine.ctx, 'closure:resolve')
  const end = () => endCredential(parts, engine.ctx, may, own.name, 'nobody may use it')
  const refused = (text: string) => expect(end()).rejects.toMatchObject({ code: 'wrong_state', message: expect.stringContaining(text) })
  await refused('is active')
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['closed'])
  expect(await itemOf(own.id)).toMatchObject({ state: 'rotated', consumers: ['other-report'] })
  const value = readFileSync(path, 'utf8').trimEnd()
  expect(await answer(own.name, value)).toBe('accepted')
  const { closure, goal } = await end()
  expect(goal).toBe('destroy')
  expect(await settled(leaver.id, ['closed'])).toBe(closure)
  expect(await itemOf(own.id)).toMatchObject({ state: 'proven_dead', way: 'suspend', consumers: ['other-report'] })
  expect(await answer(own.name, value)).toBe('28P01')
  await refused('no value that could authenticate')
  await expect(endCredential(parts, engine.ctx, may, 'no-such', 'x')).rejects.toMatchObject({ code: 'not_found' })
})

test('a word that ends a credential for others too outlives a retry of it before anything was touched', async () => {
  const leaver = await person(await person().then(({ id }) => id))
  const own = await credential(leaver.id, { consumers: [{ name: 'another-report', activation: 'none' }] })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['closed'])
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  await inTx(async (tx) => {
    const record = (await recordsById(tx, [leaver.id])).get(leaver.id)
    if (record === undefined) throw new Error('the identity is not there')
    const wanted = { record, goal: 'destroy', reason: 'end it', credential: own.id, forAll: true } as const
    const closure = await closeCredentials(parts, tx, engine.ctx, wanted)
    const [item] = await tx.query<{ id: string }>('select id from closure_item where closure_id = $1', [closure])
    await planAnew(parts.targets, tx, { id: item?.id ?? '', identity: leaver.id, credential_id: own.id })
  })
  await settled(leaver.id, ['closed'])
  expect(await itemOf(own.id)).toMatchObject({ state: 'proven_dead' })
})

test('a pair of accounts is ended whole, and one credential alone by a closure of its own', async () => {
  const leaver = await person()
  const kept = await credential(leaver.id)
  const second = `role_${++serial}`
  await target.query(`create role ${second} login password 'second'`)
  const pair = await credential(leaver.id)
  await engine.db.store.query("update credential set strategy = 'alternating', accounts = $2 where id = $1", [pair.id, [pair.name, second]])
  const record = (await recordsById(engine.db.store, [leaver.id])).get(leaver.id)
  if (record === undefined) throw new Error('the identity is not there')
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  await inTx((tx) => closeCredentials(parts, tx, engine.ctx, { record, goal: 'destroy', reason: 'not reviewed', credential: pair.id }))
  await settled(leaver.id, ['closed'])
  expect([await answer(pair.name, pair.password), await answer(second, 'second')]).toEqual(['28P01', '28P01'])
  expect(await answer(kept.name, kept.password)).toBe('accepted')
})

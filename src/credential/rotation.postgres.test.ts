import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Hooks } from '../../test/faults/kit.hooks.ts'
import { heldLogin, type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { listFindings } from './finding.list.ts'
import { fsckCredentials } from './fsck.ts'
import { resolveRotation, retryRotation, undoRotation } from './rotation.actions.ts'
import { findRotation } from './rotation.list.ts'
import { Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ parts: { loginWindowMs: 3_000 } })])
  system = await engine.addSystem(
    'orders-db',
    'postgres',
    { host: target.host, port: target.port, database: 'postgres', tls: 'off' },
    { account: target.superuser.account, secret: target.superuser.secret },
  )
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

let serial = 0
async function role(password = 'old-password-1'): Promise<string> {
  const name = `svc_${++serial}`
  await target.query(`create role ${name} login password '${password}'`)
  return name
}

/** Declares a credential in place whose new value lands in a file of its own. Resolves with that path. */
async function withFile(of: Engine, at: string, name: string, account: string): Promise<string> {
  const path = join(of.folder, `${account}.secret`)
  await of.addCredential(at, {
    name,
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
    consumers: [{ name: account, path, activation: 'none' }],
  })
  return path
}

/** The pool of a consumer, or null when the login is refused. */
async function login(user: string, password: string): Promise<pg.Client | null> {
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch {
    return null
  }
}

async function accepts(user: string, password: string): Promise<boolean> {
  const client = await login(user, password)
  await client?.end()
  return client !== null
}

test('in-place: the new value reaches its file, the old one is refused, its session is ended', async () => {
  const account = await role()
  const path = join(engine.folder, 'orders.env')
  writeFileSync(path, 'A=1\nDB_PASSWORD=old-password-1\nB=2\n', { mode: 0o640 })
  await engine.addCredential(system, {
    name: 'one@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
    consumers: [{ name: 'one', path, key: 'DB_PASSWORD', activation: 'none' }],
  })
  const old = await login(account, 'old-password-1')
  const ended = new Promise<void>((resolve) => old?.once('end', () => resolve()))
  const [id = ''] = await engine.rotate(['one@orders-db'])
  const view = await engine.finished(id)
  expect(view).toMatchObject({ state: 'proven_dead', oldVersion: 1, newVersion: 2, reason: null })
  expect(view.gapMs).toBeGreaterThan(0)
  await ended
  const [, value = ''] = /^DB_PASSWORD=(.+)$/m.exec(readFileSync(path, 'utf8')) ?? []
  expect(readFileSync(path, 'utf8')).toBe(`A=1\nDB_PASSWORD=${value}\nB=2\n`)
  expect(await accepts(account, value)).toBe(true)
  expect(await accepts(account, 'old-password-1')).toBe(false)
})

test('alternating: the other account takes over, and the first one loses its password only after the consumer moved', async () => {
  const [a, b] = [await role('old-a'), await role('never-used')]
  await engine.addCredential(system, {
    name: 'pair@orders-db',
    strategy: 'alternating',
    accounts: [a, b],
    current: Secret.fromText('old-a'),
    consumers: [
      { name: 'pair', path: join(engine.folder, 'pair.secret'), activation: 'session' },
      { name: 'script', path: join(engine.folder, 'pair.env'), key: 'DB_PASSWORD', activation: 'none' },
    ],
  })
  const [id = ''] = await engine.rotate(['pair@orders-db'])
  await engine.until(id, (view) => view.state === 'distributed')
  expect(await accepts(a, 'old-a')).toBe(true)
  const value = readFileSync(join(engine.folder, 'pair.secret'), 'utf8').trim()
  expect(readFileSync(join(engine.folder, 'pair.env'), 'utf8')).toBe(`DB_PASSWORD=${value}\nDB_PASSWORD_ACCOUNT=${b}\n`)
  const consumer = await login(b, value)
  const view = await engine.finished(id)
  expect(view.state).toBe('proven_dead')
  expect(view.gapMs).toBe(0)
  expect(await accepts(a, 'old-a')).toBe(false)
  await expect(consumer?.query('select 1')).resolves.toBeDefined()
  await consumer?.end()
})

test('alternating: a session that the other account had before the install tells nothing of the new value', async () => {
  const [a, b] = [await role('old-a'), await role('of-somebody')]
  await engine.addCredential(system, {
    name: 'early@orders-db',
    strategy: 'alternating',
    accounts: [a, b],
    current: Secret.fromText('old-a'),
    consumers: [{ name: 'early', path: join(engine.folder, 'early.secret'), activation: 'session' }],
  })
  const early = await login(b, 'of-somebody')
  const [id = ''] = await engine.rotate(['early@orders-db'])
  await engine.until(id, (view) => view.state === 'distributed' && view.reason !== null)
  // Looked at several times by now.
  await sleep(1_000)
  expect((await findRotation(engine.db.store, id))?.state).toBe('distributed')
  expect(await accepts(a, 'old-a')).toBe(true)
  const late = await login(b, readFileSync(join(engine.folder, 'early.secret'), 'utf8').trim())
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await Promise.all([early?.end(), late?.end()])
})

test('alternating: a wider replacement is refused, and goes on once the right is taken away', async () => {
  const [a, b] = [await role('old-a'), await role()]
  await target.query(`alter role ${b} createdb`)
  await target.query(`create table "evil\u202e" (); grant select on "evil\u202e" to ${b}`)
  await engine.addCredential(system, {
    name: 'wide@orders-db',
    strategy: 'alternating',
    accounts: [a, b],
    current: Secret.fromText('old-a'),
  })
  const [id = ''] = await engine.rotate(['wide@orders-db'])
  const blocked = await engine.finished(id)
  expect(blocked.state).toBe('blocked')
  expect(blocked.reason).toContain('may do more')
  expect(blocked.reason).toContain('evil\\u{202e}')
  expect(blocked.reason).not.toContain('\u202e')
  await target.query(`drop table "evil\u202e"`)
  await target.query(`alter role ${b} nocreatedb`)
  await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)
  expect((await engine.until(id, (view) => view.endedAt !== null)).state).toBe('proven_dead')
})

test('a takeover ends not provable, and the next rotation is proven', async () => {
  const account = await role()
  await engine.addCredential(system, { name: 'taken@orders-db', strategy: 'in-place', accounts: [account], current: null })
  const [first = ''] = await engine.rotate(['taken@orders-db'])
  expect(await engine.finished(first)).toMatchObject({ state: 'not_provable', reason: 'not provable: value unknown' })
  const [second = ''] = await engine.rotate(['taken@orders-db'])
  expect((await engine.finished(second)).state).toBe('proven_dead')
})

test('a declared value that never worked is replaced, and its refusal is not taken for a proof', async () => {
  const account = await role()
  await engine.addCredential(system, {
    name: 'wrong@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('not-the-value'),
  })
  const [first = ''] = await engine.rotate(['wrong@orders-db'])
  const view = await engine.finished(first)
  expect(view.state).toBe('not_provable')
  expect(view.reason).toContain('not accepted before the change (refused)')
  expect(await accepts(account, 'old-password-1')).toBe(false)
  const [second = ''] = await engine.rotate(['wrong@orders-db'])
  expect((await engine.finished(second)).state).toBe('proven_dead')
})

test('undo puts the old value back while a consumer is waited for', async () => {
  const account = await role()
  const path = join(engine.folder, 'undo.secret')
  writeFileSync(path, 'old-password-1\n')
  await engine.addCredential(system, {
    name: 'undo@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
    consumers: [{ name: 'slow', path, activation: 'session' }],
  })
  const [id = ''] = await engine.rotate(['undo@orders-db'])
  await engine.until(id, (view) => view.state === 'distributed')
  expect(await accepts(account, 'old-password-1')).toBe(false)
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), id, 'test')
  expect((await engine.finished(id)).state).toBe('undone')
  expect(await accepts(account, 'old-password-1')).toBe(true)
  expect(readFileSync(path, 'utf8')).toBe('old-password-1\n')
})

test('a missing consumer can be overridden by name and reason, which evidence keeps', async () => {
  const account = await role()
  await engine.addCredential(system, {
    name: 'silent@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
    consumers: [{ name: 'silent', activation: 'session' }],
  })
  const [id = ''] = await engine.rotate(['silent@orders-db'])
  await engine.until(id, (view) => view.state === 'distributed')
  const may = allowed(engine.ctx, 'rotation:resolve')
  await resolveRotation(engine.parts, engine.ctx, may, id, { kind: 'override-activation', by: 'ann', reason: 'it is off' })
  expect((await engine.finished(id)).state).toBe('proven_dead')
  const rows = await engine.db.store.query<{ body: string }>("select body from evidence_event where body like '%override.recorded%'")
  expect(rows.map((row) => JSON.parse(row.body).data)).toContainEqual(expect.objectContaining({ by: 'ann', reason: 'it is off' }))
})

describe.each(['superuser', 'a root that may not read verifiers'])('whoever has a session of the old value (%s)', (who) => {
  const hooks = new Hooks()
  let own: Engine
  let place: string
  beforeAll(async () => {
    own = await Engine.start({ parts: { trap: hooks.trap } })
    const secret = who === 'superuser' ? target.superuser.secret : Secret.fromText('plain-root-1')
    const root = { account: who === 'superuser' ? target.superuser.account : 'plain_root', secret }
    if (who !== 'superuser') {
      await target.query(
        `create role plain_root login createrole password 'plain-root-1'; grant pg_read_all_stats, pg_signal_backend to plain_root`,
      )
    }
    place = await own.addSystem('db', 'postgres', { host: target.host, port: target.port, database: 'postgres', tls: 'off' }, root)
  })
  afterAll(() => own.stop())

  async function rooted(password?: string): Promise<string> {
    const name = await role(password)
    if (who !== 'superuser') await target.query(`grant ${name} to plain_root with admin option, set false, inherit false`)
    return name
  }

  /** Rotates, and lets the thief act in his session, opened before, at a place of the rotation. */
  async function attacked(name: string, where: string, thief: pg.Client, statement: string): Promise<string> {
    const [id = ''] = await hooks.start(
      () => own.rotate([name]),
      () => where,
      async () => void (await thief.query(statement)),
    )
    return id
  }

  test.each(['before_retire', 'after_retire'])('in place, gives the old value back at %s: it dies all the same', async (where) => {
    const account = await rooted()
    const name = `${account}@db`
    const path = await withFile(own, place, name, account)
    const thief = await login(account, 'old-password-1')
    if (thief === null) throw new Error('not let in')
    const id = await attacked(name, where, thief, `alter role ${account} password 'old-password-1'`)
    expect((await own.finished(id)).state).toBe('proven_dead')
    expect(hooks.left).toBe(0)
    expect(await accepts(account, 'old-password-1')).toBe(false)
    expect(await accepts(account, readFileSync(path, 'utf8').trim())).toBe(true)
  })

  test('of a pair, gives the retired account a value of his own: it has none in the end', async () => {
    const [a, b] = [await rooted('old-a'), await rooted('old-b')]
    await own.addCredential(place, { name: `${a}@db`, strategy: 'alternating', accounts: [a, b], current: Secret.fromText('old-a') })
    const thief = await login(a, 'old-a')
    if (thief === null) throw new Error('not let in')
    const id = await attacked(`${a}@db`, 'after_retire', thief, `alter role ${a} password 'evil'`)
    expect((await own.finished(id)).state).toBe('proven_dead')
    expect(hooks.left).toBe(0)
    expect([await accepts(a, 'evil'), await accepts(a, 'old-a')]).toEqual([false, false])
    const rows = await target.query<{ none: boolean }>(`select rolpassword is null as none from pg_authid where rolname = '${a}'`)
    expect(rows).toEqual([{ none: true }])
  })
})

test('a login that was under way at the change leaves a session only until the login window has passed', async () => {
  const account = await role()
  await engine.addCredential(system, {
    name: 'late@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
  })
  // The attacker's login has got its challenge and holds its answer back.
  const held = await heldLogin(target, account, 'old-password-1')
  const [id = ''] = await engine.rotate(['late@orders-db'])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  const session = await held.finish()
  expect((await session.query('select current_user as who')).rows).toEqual([{ who: account }])
  await expect
    .poll(
      () =>
        session.query('select 1').then(
          () => 'open',
          () => 'ended',
        ),
      { timeout: 10_000 },
    )
    .toBe('ended')
  // The event follows the end of the session in a transaction of its own.
  const told = async () => {
    const rows = await engine.db.store.query<{ body: string }>("select body from evidence_event where body like '%rotation.rechecked%'")
    return rows.map(({ body }) => JSON.parse(body)).find(({ subject }) => subject === 'late@orders-db')?.data
  }
  await expect.poll(told).toEqual({ sessionsEnded: 1 })
})

test.each([
  ['the old value again', 'old-password-1'],
  ['a value of its own', 'evil'],
])('in place, a login that was under way sets %s after the proof: the one on record is put back, and told', async (_, value) => {
  const account = await role()
  const name = `${account}@orders-db`
  const path = await withFile(engine, system, name, account)
  const held = await heldLogin(target, account, 'old-password-1')
  const [id = ''] = await engine.rotate([name])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await (await held.finish()).query(`alter role ${account} password '${value}'`)
  const second = await login(account, value)
  expect(second).not.toBeNull()
  await expect
    .poll(() => toldOf(name), { timeout: 10_000 })
    .toMatchObject({ old: { outcome: 'refused' }, control: { outcome: 'accepted' } })
  expect(await accepts(account, value)).toBe(false)
  expect(await accepts(account, readFileSync(path, 'utf8').trim())).toBe(true)
  await expect(second?.query('select 1')).rejects.toThrow()
})

test.each([
  ['dropped', (account: string) => `drop role ${account}`],
  ['made to expire', (account: string) => `alter role ${account} valid until '2001-01-01'`],
])('in place, an account that is %s by hand after the proof stays so: that its value is refused is told, and found', async (_, change) => {
  const account = await role()
  const name = `${account}@orders-db`
  await withFile(engine, system, name, account)
  const [id = ''] = await engine.rotate([name])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await target.query(change(account))
  const may = allowed(engine.ctx, 'finding:read')
  const found = async () =>
    (await listFindings(engine.db.store, may, { kind: 'value_refused', limit: 500 })).items.filter(({ subject }) => subject === name)
  await expect.poll(found, { timeout: 10_000 }).toMatchObject([{ severity: 'high', detail: expect.stringContaining('was refused') }])
  expect(await toldOf(name)).toBeUndefined()
  // Once: nobody is there to mend it every minute.
  const planned = await engine.db.store.query('select recheck_at from rotation where id = $1', [id])
  expect(planned).toEqual([{ recheck_at: null }])
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('of a pair, a login that was under way gives the retired account a value after the proof: it is taken away, and told', async () => {
  const [a, b] = [await role('old-a'), await role('old-b')]
  const name = `${a}@orders-db`
  await engine.addCredential(system, { name, strategy: 'alternating', accounts: [a, b], current: Secret.fromText('old-a') })
  const held = await heldLogin(target, a, 'old-a')
  const [id = ''] = await engine.rotate([name])
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await (await held.finish()).query(`alter role ${a} password 'evil'`)
  const second = await login(a, 'evil')
  expect(second).not.toBeNull()
  await expect.poll(() => toldOf(name), { timeout: 10_000 }).toEqual({ account: a, sessionsEnded: 1 })
  expect(await accepts(a, 'evil')).toBe(false)
  await expect(second?.query('select 1')).rejects.toThrow()
})

/** What was told of a value that was set again after its proof. */
async function toldOf(name: string): Promise<unknown> {
  const rows = await engine.db.store.query<{ body: string }>("select body from evidence_event where body like '%rotation.set_back%'")
  return rows.map(({ body }) => JSON.parse(body)).find(({ subject }) => subject === name)?.data
}

test('in place, the grace period is that of the old sessions: the old value is refused at once, its session lives until then', async () => {
  const account = await role()
  const pool = await login(account, 'old-password-1')
  await engine.addCredential(system, {
    name: `${account}@orders-db`,
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
    graceSeconds: 3,
  })
  const [rotation = ''] = await engine.rotate([`${account}@orders-db`])
  const waiting = await engine.until(rotation, (view) => view.state === 'activated')
  expect(waiting.reason).toMatch(/^grace period: sessions of the old value are ended \d s from now$/)
  expect(await accepts(account, 'old-password-1')).toBe(false)
  expect((await pool?.query('select 1 as one'))?.rows).toEqual([{ one: 1 }])
  const view = await engine.finished(rotation)
  expect(view.state).toBe('proven_dead')
  expect(Date.parse(view.retiredAt ?? '') - Date.parse(view.activatedAt ?? '')).toBeGreaterThanOrEqual(3_000)
  await expect(pool?.query('select 1')).rejects.toThrow()
})

test('a file in which the place of the value is not certain stops an alternating rotation before the target is touched', async () => {
  const [a, b] = [await role('old-a'), await role('old-b')]
  const path = join(engine.folder, 'twice.env')
  writeFileSync(path, 'DB=1\nDB=2\n', { mode: 0o600 })
  await engine.addCredential(system, {
    name: 'twice@orders-db',
    strategy: 'alternating',
    accounts: [a, b],
    current: Secret.fromText('old-a'),
    consumers: [{ name: 'twice', path, key: 'DB', activation: 'none' }],
  })
  const [id = ''] = await engine.rotate(['twice@orders-db'])
  const waiting = await engine.until(id, (view) => view.reason !== null)
  expect(waiting).toMatchObject({ installedAt: null, reason: expect.stringContaining('DB is set a second time (line 2)') })
  expect([await accepts(a, 'old-a'), await accepts(b, 'old-b')]).toEqual([true, true])
  expect(readFileSync(path, 'utf8')).toBe('DB=1\nDB=2\n')
  writeFileSync(path, 'DOC="as in\nDB=example"\nDB=2\n', { mode: 0o600 })
  if (waiting.state === 'blocked') await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)
  expect((await engine.finished(id)).state).toBe('proven_dead')
  expect(readFileSync(path, 'utf8')).toMatch(/^DOC="as in\nDB=example"\nDB=\S+\nDB_ACCOUNT=\S+\n$/)
})

test('the root credential itself is rotated, and Rekey goes on with the new one', async () => {
  // Made before: the lab's own connection is one of those that end with the old root value.
  const account = await role()
  const [id = ''] = await engine.rotate(['root@orders-db'], { root: true })
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await engine.addCredential(system, {
    name: 'after@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old-password-1'),
  })
  const [next = ''] = await engine.rotate(['after@orders-db'])
  expect((await engine.finished(next)).state).toBe('proven_dead')
})

test('a full or missing folder stops an in-place rotation before the target is touched', async () => {
  const path = join(engine.folder, 'gone', 'x.secret')
  const account = 'svc_2'
  await engine.addCredential(system, {
    name: 'nofolder@orders-db',
    strategy: 'in-place',
    accounts: [account],
    current: null,
    consumers: [{ name: 'x', path, activation: 'none' }],
  })
  const [id = ''] = await engine.rotate(['nofolder@orders-db'])
  const waiting = await engine.until(id, (view) => view.reason !== null)
  expect(waiting).toMatchObject({ state: 'staged', installedAt: null })
  expect(waiting.reason).toContain('cannot be written')
  mkdirSync(join(engine.folder, 'gone'))
  expect((await engine.finished(id)).state).toBe('not_provable')
})

/** The standing questions on a real PostgreSQL: usable, findings, exceptions, reviews. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { joinIdentity, leaveIdentity, offboardIdentity, suspendIdentity } from '../identity/index.ts'
import { newId, Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { declareException, endException, listExceptions } from './exception.ts'
import { listFindings } from './finding.list.ts'
import { FINDINGS, type Finding, type FindingKind } from './finding.model.ts'
import { fsckCredentials } from './fsck.ts'
import { doReview, listReviews, missReviews, openReviews } from './review.ts'
import { type CredentialSpec, Engine, namesAnybody } from './testing.ts'
import { listUsable, probeUsable, type UsableView } from './usable.ts'

let target: LabPostgres
let engine: Engine
let system: string

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start()])
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('orders-db', 'postgres', address, target.superuser)
  await engine.addCloser()
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
const parts = () => ({ ...engine.parts, destroyAfterSeconds: 0, stops: [] })
let serial = 0

async function person(more: object = {}): Promise<{ id: string; name: string }> {
  const name = `person-${++serial}`
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind: 'human', purpose: 'tests', source: 'api', ...more })), name }
}

async function workload(owner: string): Promise<{ id: string; name: string }> {
  const name = `workload-${++serial}`
  const fields = {
    name,
    kind: 'workload',
    purpose: 'tests',
    environment: 'test',
    source: 'api',
    owner: { kind: 'person', id: owner },
  } as const
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, fields)), name }
}

async function credential(identity: string, more: Partial<CredentialSpec> = {}): Promise<{ id: string; name: string; password: string }> {
  const name = `acc_${++serial}`
  const password = `pass-${newId()}`
  await target.query(`create role ${name} login password '${password}'`)
  const spec = { name, strategy: 'in-place', accounts: [name], current: Secret.fromText(password), identity, ...more } as const
  return { id: await engine.addCredential(system, spec), name, password }
}

async function everything<T>(read: (after?: string) => Promise<{ items: readonly T[]; next: string | null }>): Promise<T[]> {
  const all: T[] = []
  for (let after: string | undefined; ; ) {
    const page = await read(after)
    all.push(...page.items)
    if (page.next === null) return all
    after = page.next
  }
}

const findings = (filter: { kind?: FindingKind; severity?: 'high' | 'medium' } = {}, limit = 500): Promise<Finding[]> =>
  everything((after) => listFindings(engine.db.store, allowed(engine.ctx, 'finding:read'), { ...filter, after, limit }))

const found = async (kind: FindingKind, subject: string) => (await findings({ kind })).find((each) => each.subject === subject)

async function usable(filter: object = {}): Promise<UsableView[]> {
  return (await listUsable(engine.db.store, engine.ctx, allowed(engine.ctx, 'usable:read'), { limit: 1000, ...filter })).items
}

const reviews = async (all: boolean) => (await listReviews(engine.db.store, allowed(engine.ctx, 'review:read'), { limit: 500, all })).items
const exceptions = async () =>
  (await listExceptions(engine.db.store, allowed(engine.ctx, 'exception:read'), { limit: 500, all: false })).items

async function answer(user: string, password: string): Promise<string> {
  const { default: pg } = await import('pg')
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

test('usable: root and current values, by identity and system, with a fresh probe on demand', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  const all = await usable()
  expect(all.find(({ root }) => root)).toMatchObject({ credential: 'root@orders-db', identity: null, state: 'current' })
  const [mine] = await usable({ identity: ada.id })
  expect(mine).toMatchObject({ credential: own.name, number: 1, state: 'current', identity: ada.name, lastProbe: null, ageDays: 0 })
  expect(await usable({ system: 'no-such-system' })).toEqual([])
  expect(await usable({ olderThanDays: 1 })).toEqual([])
  const may = allowed(engine.ctx, 'usable:read')
  expect(await probeUsable(engine.parts, engine.ctx, may, [mine?.version ?? ''])).toBe(1)
  expect((await usable({ identity: ada.id }))[0]?.lastProbe).toMatchObject({ outcome: 'accepted' })
  await target.query(`alter role ${own.name} password 'changed behind our back'`)
  await probeUsable(engine.parts, engine.ctx, may, [mine?.version ?? ''])
  expect((await usable({ identity: ada.id }))[0]?.lastProbe).toMatchObject({ outcome: 'refused', code: '28P01' })
  await expect(probeUsable(engine.parts, engine.ctx, may, [])).rejects.toMatchObject({ code: 'bad_input' })
})

test('usable: what was rotated away or ended is gone from it', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  const [rotation = ''] = await engine.rotate([own.name])
  await engine.finished(rotation)
  expect((await usable({ identity: ada.id })).map(({ number }) => number)).toEqual([2])
  await inTx((tx) => offboardIdentity(tx, engine.ctx, ada.id, 'left'))
  await until(async () => (await usable({ identity: ada.id })).length === 0)
})

async function until(holds: () => Promise<boolean>, ms = 10_000): Promise<void> {
  for (const end = engine.ctx.clock.monotonicMs() + ms; !(await holds()); await sleep(30)) {
    if (engine.ctx.clock.monotonicMs() > end) throw new Error('it does not come to that')
  }
}

test('findings: reused values and accounts, people on accounts of workloads, values that live long', async () => {
  const boss = await person()
  const one = await workload(boss.id)
  const password = 'the same for both'
  const first = await credential(one.id, { current: Secret.fromText(password) })
  const other = await person({ entitlements: [{ system: 'orders-db', account: first.name, role: 'dba' }] })
  const second = await credential(other.id, { current: Secret.fromText(password) })
  expect(await found('reused', first.name)).toMatchObject({
    control: 'NHI9',
    severity: 'high',
    detail: `its value is also that of ${second.name}`,
  })
  expect(await found('human_use', first.name)).toMatchObject({
    control: 'NHI10',
    owner: { kind: 'person', id: boss.id, name: boss.name },
    detail: `owned by a workload, used by ${other.name}`,
  })
  expect(await found('human_use', second.name)).toBeUndefined()
  expect(await found('long_lived', first.name)).toBeUndefined()
  await engine.db.store.query("update version set created_at = now() - interval '91 days' where credential_id = $1", [first.id])
  expect(await found('long_lived', first.name)).toMatchObject({ control: 'NHI7', identity: one.name })
  await engine.db.store.query(
    "update credential set every_seconds = 60, next_rotation_at = now() - interval '2 hours', closed_at = now() where id = $1",
    [first.id],
  )
  expect(await found('overdue', first.name)).toMatchObject({ control: 'NHI7' })
  await engine.db.store.query('update credential set every_seconds = null, next_rotation_at = null, closed_at = null where id = $1', [
    first.id,
  ])
})

test('findings: who leaves hands over, and a credential whose identity is gone is an orphan', async () => {
  const boss = await person()
  const worker = await person({ manager: boss.id })
  const held = await workload(worker.id)
  const shared = await credential(held.id, { consumers: [{ name: 'others', activation: 'none' }] })
  await inTx((tx) => leaveIdentity(tx, engine.ctx, worker.id, 'left'))
  expect(await found('handover', held.name)).toMatchObject({ owner: { kind: 'person', id: boss.id }, severity: 'medium' })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, held.id, 'end of life'))
  // While the cascade has it, it is no orphan; afterwards others use it, and it belongs to nobody who is there.
  await until(async () => {
    const rows = await engine.db.store.query("select 1 from closure_item where credential_id = $1 and state = 'rotated'", [shared.id])
    return rows.length === 1
  })
  expect(await found('orphan', shared.name)).toMatchObject({ control: 'NHI1', detail: `its identity ${held.name} has left` })
  expect(await found('ownerless', shared.name)).toBeUndefined()
})

test('findings: the same matter has the same id, whatever the size of the page, and each says whom to ask', async () => {
  const whole = await findings()
  expect(whole.length).toBeGreaterThan(3)
  expect(new Set(whole.map(({ finding }) => finding)).size).toBe(whole.length)
  for (const limit of [1, 2, 3])
    expect((await findings({}, limit)).map(({ finding }) => finding)).toEqual(whole.map(({ finding }) => finding))
  for (const { kind, owner, action, severity } of whole) {
    expect(owner.name).not.toBe('')
    expect([action, severity]).toEqual([FINDINGS[kind].action, FINDINGS[kind].severity])
  }
  const high = await findings({ severity: 'high' })
  expect(high).toEqual(whole.filter(({ severity }) => severity === 'high'))
  for (const after of ['nonsense', 'credentials:x', `closures:${newId()}x`]) {
    const may = allowed(engine.ctx, 'finding:read')
    await expect(listFindings(engine.db.store, may, { after, limit: 1 })).rejects.toMatchObject({ code: 'bad_input' })
  }
})

/** An exception that ends tomorrow. */
async function declared(credential: string, owner: string, more: object = {}) {
  const endsAt = new Date(engine.ctx.clock.now().getTime() + 86_400_000)
  const input = {
    kind: 'vendor_managed',
    credential,
    users: [],
    owner,
    reason: 'the vendor sets it',
    waitsFor: 'OAuth',
    endsAt,
    onMissed: 'escalate',
    ...more,
  } as const
  return declareException(engine.parts, engine.ctx, allowed(engine.ctx, 'exception:declare'), namesAnybody(engine.ctx), input)
}

test('exceptions: with an owner, an end and what they wait for; past their date they are found', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  await expect(declared(own.name, 'nobody at all')).rejects.toMatchObject({ code: 'not_found' })
  await expect(declared('no-such-credential', ada.id)).rejects.toMatchObject({ code: 'not_found' })
  await expect(declared(own.name, ada.id, { endsAt: engine.ctx.clock.now() })).rejects.toMatchObject({ code: 'bad_input' })
  await expect(declared(own.name, ada.id, { kind: 'shared_account' })).rejects.toMatchObject({ code: 'bad_input' })
  const view = await declared(own.name, ada.id)
  expect(view).toMatchObject({
    credential: own.name,
    owner: { kind: 'person', name: ada.name },
    waitsFor: 'OAuth',
    past: false,
    closedAt: null,
  })
  await expect(declared(own.name, ada.id)).rejects.toMatchObject({ code: 'conflict' })
  expect(await found('exception_past', own.name)).toBeUndefined()
  await engine.db.store.query("update exception set ends_at = now() - interval '1 day' where id = $1", [view.exception])
  expect(await found('exception_past', own.name)).toMatchObject({ owner: { name: ada.name }, control: 'NHI7' })
  const may = allowed(engine.ctx, 'exception:end')
  await endException(engine.parts, engine.ctx, may, view.exception, 'moved to OAuth')
  await expect(endException(engine.parts, engine.ctx, may, view.exception, 'again')).rejects.toMatchObject({ code: 'wrong_state' })
  expect((await exceptions()).map(({ exception }) => exception)).not.toContain(view.exception)
  expect(await found('exception_past', own.name)).toBeUndefined()
})

test('a shared account is rotated when its identity leaves, because somebody else is on record as using it', async () => {
  const [leaver, other] = [await person(), await person()]
  const own = await credential(leaver.id)
  await declared(own.name, other.id, { kind: 'shared_account', users: [other.name] })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await until(async () => {
    const [item] = await engine.db.store.query<{ state: string; why: string }>(
      'select state, why from closure_item where credential_id = $1',
      [own.id],
    )
    return item?.state === 'rotated' && item.why.startsWith(`also used by ${other.name}`)
  })
  expect(await answer(own.name, own.password)).toBe('28P01')
})

test('a review that nobody does is missed once; the logins stop if it says so, and come back when it is done', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  await declared(own.name, ada.id, { reviewEverySeconds: 60, onMissed: 'suspend' })
  const mine = async () => (await reviews(true)).find(({ credential }) => credential === own.name)
  expect(await mine()).toBeUndefined()
  await engine.db.store.query("update exception set created_at = now() - interval '2 minutes' where credential_id = $1", [own.id])
  await Promise.all([openReviews(engine.parts, engine.ctx), openReviews(engine.parts, engine.ctx)])
  await Promise.all([missReviews(parts(), engine.ctx), missReviews(parts(), engine.ctx)])
  const review = await mine()
  expect(review).toMatchObject({ why: 'vendor_managed', onMissed: 'suspend', missedAt: expect.any(String), doneAt: null })
  expect(await found('review_overdue', own.name)).toMatchObject({ control: 'NHI1' })
  await until(async () => (await answer(own.name, own.password)) === '28000')
  const missed = await engine.db.store.query('select 1 from evidence_event where body like $1', [`%"type":"review.missed"%`])
  expect(missed).toHaveLength(1)
  const may = allowed(engine.ctx, 'review:decide')
  await doReview(parts(), engine.ctx, may, review?.review ?? '', { outcome: 'keep', note: 'still needed' })
  await until(async () => (await answer(own.name, own.password)) === 'accepted')
  await expect(doReview(parts(), engine.ctx, may, review?.review ?? '', { outcome: 'keep', note: 'again' })).rejects.toMatchObject({
    code: 'wrong_state',
  })
})

test('a review may end a credential', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  await declared(own.name, ada.id, { reviewEverySeconds: 60 })
  await engine.db.store.query("update exception set created_at = now() - interval '2 minutes' where credential_id = $1", [own.id])
  await openReviews(engine.parts, engine.ctx)
  const review = (await reviews(false)).find(({ credential }) => credential === own.name)
  await doReview(parts(), engine.ctx, allowed(engine.ctx, 'review:decide'), review?.review ?? '', {
    outcome: 'end',
    note: 'nobody uses it',
  })
  await until(async () => (await answer(own.name, own.password)) === '28P01')
  expect((await exceptions()).map(({ credential }) => credential)).not.toContain(own.name)
})

test('a review that is done gives nothing back to whose identity is suspended', async () => {
  const ada = await person()
  const own = await credential(ada.id)
  await declared(own.name, ada.id, { reviewEverySeconds: 60, onMissed: 'suspend' })
  await inTx((tx) => suspendIdentity(tx, engine.ctx, ada.id, 'away'))
  await until(async () => (await answer(own.name, own.password)) === '28000')
  await engine.db.store.query("update exception set created_at = now() - interval '2 minutes' where credential_id = $1", [own.id])
  await openReviews(engine.parts, engine.ctx)
  await missReviews(parts(), engine.ctx)
  const review = (await reviews(false)).find(({ credential }) => credential === own.name)
  await doReview(parts(), engine.ctx, allowed(engine.ctx, 'review:decide'), review?.review ?? '', { outcome: 'keep', note: 'still needed' })
  await until(async () => {
    const rows = await engine.db.store.query('select 1 from closure where credential_id = $1 and ended_at is null', [own.id])
    return rows.length === 0
  })
  const items = await engine.db.store.query('select state from closure_item where credential_id = $1', [own.id])
  expect(items).toEqual([{ state: 'suspended' }])
  expect(await answer(own.name, own.password)).toBe('28000')
})

test('break-glass credentials are reviewed without anybody asking for it', async () => {
  const glass = await person({ recoveryClass: { class: 'emergency', reason: 'break glass' } })
  const own = await credential(glass.id)
  await engine.db.store.query("update credential set created_at = now() - interval '31 days' where id = $1", [own.id])
  await openReviews(engine.parts, engine.ctx)
  expect((await reviews(false)).find(({ credential }) => credential === own.name)).toMatchObject({
    why: 'break_glass',
    onMissed: 'escalate',
    exception: null,
  })
})

test('fsck agrees with all of it, and names what somebody changed by hand', async () => {
  await until(async () => {
    const [row] = await engine.db.store.query<{ n: number }>('select count(*)::int as n from closure_item where due_at is not null')
    return row?.n === 0
  })
  // The rows that these tests changed by hand are theirs; of closures, exceptions and reviews nothing may be found.
  const mine = async () =>
    (await fsckCredentials(engine.db.store)).filter(({ where }) => /^(logins|closure|exception|review|version)/.test(where))
  expect(await mine()).toEqual([])
  const [item] = await engine.db.store.query<{ id: string; state: string }>(
    "select id, state from closure_item where state = 'proven_dead' limit 1",
  )
  await engine.db.store.query("update closure_item set state = 'handed_over' where id = $1", [item?.id])
  expect((await mine()).map(({ what }) => what)).toContainEqual('The table says handed_over; the log says proven_dead.')
  await engine.db.store.query("update closure_item set state = 'proven_dead' where id = $1", [item?.id])
  await engine.db.store.query('update review set done_at = now() where id = (select id from review where done_at is null limit 1)')
  expect((await mine()).map(({ what }) => what)).toContainEqual('It is open by the log; the table does not say so.')
})

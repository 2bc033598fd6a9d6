/** The cascade of an offboarding, killed, cut and raced at every place where that would hurt, on real systems. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Address } from '../../src/connectors/contract.ts'
import { retryClosure } from '../../src/credential/closure.actions.ts'
import { takeChanges } from '../../src/credential/closure.changes.ts'
import { Engine } from '../../src/credential/testing.ts'
import { joinIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from '../../src/identity/index.ts'
import { newId, Secret, sleep } from '../../src/kernel/index.ts'
import { allowed } from '../../src/policy/testing.ts'
import { Child } from './child.parent.ts'
import { availableKinds, oldSecret, type SystemKind, startYards, type Yard } from './kit.yards.ts'

let yards: readonly Yard[]
let engine: Engine
const systems = new Map<SystemKind, string>()

beforeAll(async () => {
  ;[yards, engine] = await Promise.all([startYards(availableKinds()), Engine.start({ worker: false })])
  for (const { kind, lab } of yards) systems.set(kind, await engine.addSystem(kind, kind, lab.address, lab.root))
})
afterAll(async () => {
  await engine.stop()
  await Promise.all(yards.map(({ lab }) => lab.stop()))
})

/** One credential of a leaver, and one of somebody else on the same system. */
interface Case {
  readonly yard: Yard
  readonly credential: string
  readonly account: string
  readonly secret: Secret
  readonly bystander: { readonly account: string; readonly secret: Secret }
  /** The file of somebody else who uses it; null: nobody does. */
  readonly path: string | null
}

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)

async function leaver(): Promise<string> {
  return inTx((tx) => joinIdentity(tx, engine.ctx, { name: `leaver-${newId()}`, kind: 'human', purpose: 'tests', source: 'api' }))
}

async function makeCase(identity: string, yard: Yard, shared: boolean, address?: Address): Promise<Case> {
  const tag = `c${newId().replaceAll('-', '').slice(-12)}`
  const [secret, other] = [oldSecret(), oldSecret()]
  await yard.lab.createAccount(tag, secret)
  await yard.lab.createAccount(`${tag}b`, other)
  const path = shared ? join(engine.folder, `${tag}.secret`) : null
  if (path !== null) secret.revealText((text) => writeFileSync(path, `${text}\n`))
  const consumers = path === null ? [] : [{ name: 'nightly-report', path, activation: 'none' as const }]
  const system =
    address === undefined ? (systems.get(yard.kind) ?? '') : await engine.addSystem(`s-${tag}`, yard.kind, address, yard.lab.root)
  const strategy = yard.kind === 'redis' ? ('dual' as const) : ('in-place' as const)
  const spec = { name: tag, strategy, accounts: [tag], current: secret, identity, consumers }
  const bystander = { account: `${tag}b`, secret: other }
  return { yard, credential: await engine.addCredential(system, spec), account: tag, secret, bystander, path }
}

async function opens({ lab }: Yard, account: string, secret: Secret): Promise<boolean> {
  try {
    await (await lab.openSession(account, secret, 'check')).close()
    return true
  } catch {
    return false
  }
}

/** What must hold at every moment: whoever is not concerned gets in, and so does Rekey. */
async function faultsDuring({ yard, bystander }: Case): Promise<string[]> {
  const { root } = yard.lab
  return [
    ...((await opens(yard, bystander.account, bystander.secret)) ? [] : [`${yard.kind}: the account of somebody else is shut`]),
    ...((await opens(yard, root.account, root.secret)) ? [] : [`${yard.kind}: root is shut`]),
  ]
}

interface Item {
  readonly id: string
  readonly state: string
  readonly open: boolean
  readonly problem: { reason: string } | null
}

async function itemOf(one: Case): Promise<Item> {
  const [item] = await engine.db.store.query<Item>(
    `select id, state, problem, attempt_step is not null or due_at is not null or lease_until is not null as open from closure_item
      where credential_id = $1`,
    [one.credential],
  )
  if (item === undefined) throw new Error('the closure has no such item')
  return item
}

async function story(one: Case): Promise<string[]> {
  const rows = await engine.db.store.query<{ body: string }>(
    `select body from evidence_event where body like $1 and body like '%"type":"logins.%' order by id`,
    [`%"credential":"${one.credential}"%`],
  )
  return rows.map(({ body }) => String(JSON.parse(body).type).slice('logins.'.length))
}

const STORIES: Readonly<Record<string, readonly string[]>> = {
  proven_dead: ['planned', 'suspending', 'suspended', 'destroying', 'destroyed', 'proven_dead'],
  rotated: ['planned', 'rotating', 'rotated'],
  suspended: ['planned', 'suspending', 'suspended'],
  resumed: ['planned', 'suspending', 'suspended', 'resuming', 'resumed'],
}

async function faultsAfter(one: Case, end: keyof typeof STORIES): Promise<string[]> {
  const faults = await faultsDuring(one)
  const item = await itemOf(one)
  if (item.state !== end || item.open) faults.push(`it is ${item.state}, open ${item.open} (${item.problem?.reason})`)
  const told = await story(one)
  if (told.join() !== STORIES[end]?.join()) faults.push(`evidence tells ${told}`)
  if ((await opens(one.yard, one.account, one.secret)) !== (end === 'resumed')) faults.push('the old value is not as it should be')
  if (one.path !== null) {
    const published = Secret.fromText(readFileSync(one.path, 'utf8').trim())
    if (!(await opens(one.yard, one.account, published))) faults.push('the value in the file is refused')
  }
  return faults.map((fault) => `${one.yard.kind}: ${fault}`)
}

async function reached(cases: readonly Case[], states: readonly string[], ms = 30_000): Promise<void> {
  for (const until = engine.ctx.clock.monotonicMs() + ms; ; await sleep(30)) {
    const items = await Promise.all(cases.map(itemOf))
    // What rests has no claim any more.
    if (items.every(({ state, open }) => states.includes(state) && !open)) return
    if (engine.ctx.clock.monotonicMs() > until) throw new Error(`still ${JSON.stringify(items)}`)
  }
}

type Act = typeof offboardIdentity

/** Has the change taken, so that the items are known, before a process runs that may die. */
async function begin(act: Act, identity: string, cases: readonly Case[]): Promise<string[]> {
  await inTx((tx) => act(tx, engine.ctx, identity, 'test'))
  await takeChanges({ ...engine.parts, destroyAfterSeconds: 0, stops: [] }, engine.ctx)
  return Promise.all(cases.map(async (one) => (await itemOf(one)).id))
}

async function killedAt(where: string, cases: readonly Case[], items: readonly string[], end: keyof typeof STORIES): Promise<string[]> {
  const first = await Child.start(engine, { where, rotations: items })
  await first.sprung()
  const during = (await Promise.all(cases.map(faultsDuring))).flat()
  const second = await Child.start(engine)
  await reached(cases, [end]).finally(() => second.stop())
  return [...during, ...(await Promise.all(cases.map((one) => faultsAfter(one, end)))).flat()]
}

describe('killed while offboarding', () => {
  test.each([
    'before_commit:suspending',
    'after_commit:suspending',
    'before_suspend',
    'after_suspend',
    'before_commit:destroying',
    'after_commit:destroying',
    'before_destroy',
    'after_destroy',
    'before_proof',
    'before_commit:proven_dead',
    'after_commit:proven_dead',
  ])('at %s', async (where) => {
    const identity = await leaver()
    const cases = await Promise.all(yards.map((yard) => makeCase(identity, yard, false)))
    expect(await killedAt(where, cases, await begin(offboardIdentity, identity, cases), 'proven_dead')).toEqual([])
  })

  test.each(['before_rotate', 'before_commit:rotating', 'after_commit:rotating', 'before_commit:rotated', 'after_commit:rotated'])(
    'at %s, of what others use',
    async (where) => {
      const identity = await leaver()
      const cases = await Promise.all(yards.map((yard) => makeCase(identity, yard, true)))
      expect(await killedAt(where, cases, await begin(offboardIdentity, identity, cases), 'rotated')).toEqual([])
    },
  )
})

describe('killed while giving back', () => {
  test.each(['after_commit:resuming', 'before_resume', 'after_resume', 'before_commit:resumed', 'after_commit:resumed'])(
    'at %s',
    async (where) => {
      const identity = await leaver()
      const cases = await Promise.all(yards.map((yard) => makeCase(identity, yard, false)))
      await begin(suspendIdentity, identity, cases)
      const suspending = await Child.start(engine)
      await reached(cases, ['suspended']).finally(() => suspending.stop())
      expect((await Promise.all(cases.map((one) => faultsAfter(one, 'suspended')))).flat()).toEqual([])
      expect(await killedAt(where, cases, await begin(resumeIdentity, identity, cases), 'resumed')).toEqual([])
    },
  )
})

test('a lost reply: what was done is found done, and told once', async () => {
  const identity = await leaver()
  const proxies = await Promise.all(yards.map(({ lab }) => lab.startProxy()))
  try {
    const cases = await Promise.all(
      yards.map((yard, at) => makeCase(identity, yard, false, { ...yard.lab.address, host: '127.0.0.1', port: proxies[at]?.port ?? 0 })),
    )
    await begin(offboardIdentity, identity, cases)
    for (const [at, { lab }] of yards.entries()) proxies[at]?.cutAfterRequest(lab.installMarker)
    const child = await Child.start(engine)
    await reached(cases, ['proven_dead']).finally(() => child.stop())
    expect((await Promise.all(cases.map((one) => faultsAfter(one, 'proven_dead')))).flat()).toEqual([])
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  }
})

test('a system that is down is tried again, and ends when it is back; nothing is claimed meanwhile', async () => {
  const identity = await leaver()
  const [yard] = yards
  if (yard === undefined) throw new Error('no system runs')
  const proxy = await yard.lab.startProxy()
  try {
    const one = await makeCase(identity, yard, false, { ...yard.lab.address, host: '127.0.0.1', port: proxy.port })
    proxy.refuse()
    await begin(offboardIdentity, identity, [one])
    const child = await Child.start(engine)
    try {
      await sleep(1_500)
      expect(await itemOf(one)).toMatchObject({ state: 'planned', problem: { code: 'target_unreachable' } })
      expect(await opens(yard, one.account, one.secret)).toBe(true)
      proxy.heal()
      await reached([one], ['proven_dead'])
    } finally {
      await child.stop()
    }
    expect(await faultsAfter(one, 'proven_dead')).toEqual([])
  } finally {
    await proxy.stop()
  }
})

/** Cases whose systems are away, and have been for so long that the next fault gives them to a human. */
async function away(shared: boolean) {
  const identity = await leaver()
  const proxies = await Promise.all(yards.map(({ lab }) => lab.startProxy()))
  const cases = await Promise.all(
    yards.map((yard, at) => makeCase(identity, yard, shared, { ...yard.lab.address, host: '127.0.0.1', port: proxies[at]?.port ?? 0 })),
  )
  for (const proxy of proxies) proxy.refuse()
  const items = await begin(offboardIdentity, identity, cases)
  await engine.db.store.query('update closure_item set tries = 11 where id = any($1::uuid[])', [items])
  return { cases, items, proxies, ids: cases.map(({ credential }) => credential) }
}

interface Looked {
  readonly state: string
  readonly looks: number
  readonly human: boolean
  /** Seconds until it is due again. */
  readonly dueIn: number | null
  readonly code: string | null
}

/** Waits until the items of these credentials are all as wanted, and no worker holds a lease on any. Resolves with them. */
async function looked(ids: readonly string[], wanted: Partial<Looked>): Promise<Looked[]> {
  for (const until = engine.ctx.clock.monotonicMs() + 20_000; ; await sleep(30)) {
    const rows = await engine.db.store.query<Looked & { held: boolean }>(
      `select state, looks, human_id is not null as human, problem ->> 'code' as code,
              extract(epoch from due_at - now())::float8 as "dueIn",
              coalesce(lease_until > now(), false) as held from closure_item where credential_id = any($1::uuid[])`,
      [ids],
    )
    const as = (row: Looked) => Object.entries(wanted).every(([key, value]) => row[key as keyof Looked] === value)
    if (rows.length === ids.length && rows.every((row) => as(row) && !row.held)) return rows
    if (engine.ctx.clock.monotonicMs() > until) throw new Error(`wanted ${JSON.stringify(wanted)}: ${JSON.stringify(rows)}`)
  }
}

/** Lets the pause until the next look be over. */
const passTime = (ids: readonly string[]) =>
  engine.db.store.query('update closure_item set due_at = now() where credential_id = any($1::uuid[]) and due_at is not null', [ids])

const BACK = ['handed_over', 'retried']

test('a human has what was away too long; Rekey looks at it by itself in growing pauses, and goes on when it is back', async () => {
  const { cases, ids, proxies } = await away(false)
  const child = await Child.start(engine)
  try {
    for (const { dueIn, human, code } of await looked(ids, { state: 'handed_over' })) {
      expect([human, code]).toEqual([true, 'target_unreachable'])
      expect(dueIn).toBeGreaterThan(20)
      expect(dueIn).toBeLessThan(60)
    }
    await passTime(ids)
    for (const { dueIn } of await looked(ids, { state: 'handed_over', looks: 1 })) expect(dueIn).toBeGreaterThan(50)
    for (const proxy of proxies) proxy.heal()
    // One answer counts for a second.
    await sleep(1_100)
    await passTime(ids)
    await reached(cases, ['proven_dead'])
  } finally {
    await child.stop()
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  }
  for (const one of cases) {
    expect(await story(one)).toEqual(['planned', ...BACK, ...(STORIES.proven_dead ?? []).slice(1)])
    expect(await opens(one.yard, one.account, one.secret)).toBe(false)
    expect(await faultsDuring(one)).toEqual([])
  }
})

test('a human need not wait for the next look', async () => {
  const { cases, ids, proxies } = await away(false)
  const child = await Child.start(engine)
  try {
    await looked(ids, { state: 'handed_over' })
    for (const proxy of proxies) proxy.heal()
    const [row] = await engine.db.store.query<{ closure_id: string }>('select closure_id from closure_item where credential_id = $1', [
      ids[0],
    ])
    await retryClosure(engine.parts, engine.ctx, allowed(engine.ctx, 'closure:retry'), row?.closure_id ?? '', null)
    await reached(cases, ['proven_dead'])
  } finally {
    await child.stop()
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  }
})

test('what others use: the rotation that an outage has blocked goes on by itself too', async () => {
  const { cases, ids, proxies } = await away(true)
  const child = await Child.start(engine)
  try {
    await looked(ids, { state: 'rotating' })
    // At its last try, once it has failed where the system is needed: what it does before that takes the tries back.
    await expect
      .poll(
        () =>
          engine.db.store
            .query(
              `update rotation set tries = 11 where credential_id = any($1::uuid[]) and state = 'staged' and tries between 1 and 10
                and (lease_until is null or lease_until < now()) returning id`,
              [ids],
            )
            .then(() =>
              engine.db.store.query('select 1 from rotation where credential_id = any($1::uuid[]) and tries < 11 and state <> $2', [
                ids,
                'blocked',
              ]),
            ),
        { timeout: 20_000 },
      )
      .toEqual([])
    await looked(ids, { state: 'handed_over', code: 'target_unreachable' })
    for (const proxy of proxies) proxy.heal()
    await passTime(ids)
    await reached(cases, ['rotated'])
  } finally {
    await child.stop()
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  }
  for (const one of cases) {
    expect(await story(one)).toEqual(['planned', 'rotating', ...BACK, 'rotated'])
    expect(await opens(one.yard, one.account, one.secret)).toBe(false)
  }
})

describe('killed while looking whether a system is back', () => {
  test.each(['before_look', 'before_commit:planned', 'after_commit:planned'])('at %s', async (where) => {
    const { cases, items, ids, proxies } = await away(false)
    try {
      const giving = await Child.start(engine)
      await looked(ids, { state: 'handed_over' }).finally(() => giving.stop())
      for (const proxy of proxies) proxy.heal()
      await passTime(ids)
      const first = await Child.start(engine, { where, rotations: items })
      await first.sprung()
      // What was not looked at, or not written down, is due still; so is what goes on.
      const second = await Child.start(engine)
      await reached(cases, ['proven_dead']).finally(() => second.stop())
      for (const one of cases) expect(await story(one)).toEqual(['planned', ...BACK, ...(STORIES.proven_dead ?? []).slice(1)])
    } finally {
      await Promise.all(proxies.map((proxy) => proxy.stop()))
    }
  })
})

describe('killed while taking an account over from a stuck rotation', () => {
  /** The rotation was killed after its install, with the answer never written down, and is not tried again for an hour. */
  async function stuck() {
    const identity = await leaver()
    const cases = await Promise.all(yards.map((yard) => makeCase(identity, yard, false)))
    const rotations = await engine.rotate(cases.map(({ account }) => account))
    const first = await Child.start(engine, { where: 'after_install', rotations })
    await first.sprung()
    await engine.db.store.query(
      `update rotation set due_at = now() + interval '1 hour', lease_until = null, lease_epoch = lease_epoch + 1
        where id = any($1::uuid[])`,
      [rotations],
    )
    const items = await begin(offboardIdentity, identity, cases)
    await engine.db.store.query("update closure_item set created_at = created_at - interval '1 minute' where id = any($1::uuid[])", [items])
    return { cases, items, rotations }
  }

  test.each(['before_park', 'after_park', 'before_commit:destroying', 'after_commit:destroying', 'after_destroy', 'before_proof'])(
    'at %s',
    async (where) => {
      const { cases, items, rotations } = await stuck()
      expect(await killedAt(where, cases, items, 'proven_dead')).toEqual([])
      const ends = await engine.db.store.query('select distinct state from rotation where id = any($1::uuid[])', [rotations])
      // One of three may have ended by itself: the first process died when the first of them reached its trap.
      expect(ends).toContainEqual({ state: 'taken_over' })
      for (const one of cases) {
        const versions = await engine.db.store.query<{ state: string; sealed: boolean }>(
          'select state, sealed is not null as sealed from version where credential_id = $1 order by number',
          [one.credential],
        )
        expect(
          versions.every(({ state, sealed }) => sealed && ['dead', 'void'].includes(state)),
          JSON.stringify(versions),
        ).toBe(true)
      }
    },
  )
})

test('where root is not let in, it goes to a named human, and on from there when that is mended', async () => {
  const identity = await leaver()
  const [yard] = yards
  if (yard === undefined) throw new Error('no system runs')
  const one = await makeCase(identity, yard, false)
  const { root } = yard.lab
  await begin(offboardIdentity, identity, [one])
  await yard.lab.setRootSecret(oldSecret())
  const child = await Child.start(engine)
  try {
    await reached([one], ['handed_over'])
    const [row] = await engine.db.store.query<{ closure_id: string; human_name: string }>(
      'select closure_id, human_name from closure_item where credential_id = $1',
      [one.credential],
    )
    expect(row?.human_name).toBe('security-contact')
    expect(await opens(yard, one.account, one.secret)).toBe(true)
    await yard.lab.setRootSecret(root.secret)
    await retryClosure(engine.parts, engine.ctx, allowed(engine.ctx, 'closure:retry'), row?.closure_id ?? '', null)
    await reached([one], ['proven_dead'])
  } finally {
    await yard.lab.setRootSecret(root.secret)
    await child.stop()
  }
  expect(await opens(yard, one.account, one.secret)).toBe(false)
})

test('two processes race for the same closures: each step is made and told once', async () => {
  const identity = await leaver()
  const cases = (await Promise.all(yards.map((yard) => Promise.all([1, 2, 3, 4, 5].map(() => makeCase(identity, yard, false)))))).flat()
  const children = await Promise.all([Child.start(engine), Child.start(engine)])
  try {
    await inTx((tx) => offboardIdentity(tx, engine.ctx, identity, 'test'))
    for (const until = engine.ctx.clock.monotonicMs() + 10_000; engine.ctx.clock.monotonicMs() < until; await sleep(20)) {
      const [row] = await engine.db.store.query<{ n: number }>('select count(*)::int as n from closure where identity_id = $1', [identity])
      if ((row?.n ?? 0) > 0) break
    }
    await reached(cases, ['proven_dead'])
  } finally {
    await Promise.all(children.map((child) => child.stop()))
  }
  expect((await Promise.all(cases.map((one) => faultsAfter(one, 'proven_dead')))).flat()).toEqual([])
  expect(await engine.db.store.query('select id from closure where identity_id = $1', [identity])).toHaveLength(1)
})

/** What `rekey identity offboard NAME --plan` promises, against what then happens, on every system that this machine has. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accepts, availableKinds, oldSecret, startYards, type Yard } from '../../test/faults/kit.yards.ts'
import type { Address } from '../connectors/contract.ts'
import { connectorFor } from '../connectors/registry.ts'
import { joinIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { newId, Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { retryClosure } from './closure.actions.ts'
import type { ClosureState, ItemState } from './closure.model.ts'
import { planClosure } from './closure.preview.ts'
import { type CredentialSpec, Engine } from './testing.ts'

let yards: readonly Yard[]
let engine: Engine

/** PostgreSQL as it is, but for one thing that a vendor's API lacks: a way to revoke. */
function connectors(name: string) {
  if (name !== 'vendor') return connectorFor(name)
  const real = connectorFor('postgres')
  return { ...real, open: real.open.bind(real), describe: () => ({ ...real.describe(), canRevoke: false }) }
}

beforeAll(async () => {
  ;[yards, engine] = await Promise.all([startYards(availableKinds()), Engine.start({ connector: connectors })])
  await engine.addCloser()
})
afterAll(async () => {
  await engine.stop()
  await Promise.all(yards.map(({ lab }) => lab.stop()))
})

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
let serial = 0

async function person(): Promise<{ readonly id: string; readonly name: string }> {
  const name = `person-${++serial}`
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind: 'human', purpose: 'tests', source: 'api' })), name }
}

interface Held {
  readonly id: string
  readonly name: string
  readonly yard: Yard
  readonly secret: Secret
}

/** An account on the yard's system, and its credential on a system of its own in the inventory. */
async function hold(
  yard: Yard,
  identity: string,
  more: Partial<CredentialSpec> = {},
  how: { connector?: string; address?: Address } = {},
): Promise<Held> {
  const name = `k${newId().replaceAll('-', '').slice(-12)}`
  const secret = oldSecret()
  await yard.lab.createAccount(name, secret)
  const system = await engine.addSystem(`s-${name}`, how.connector ?? yard.kind, how.address ?? yard.lab.address, yard.lab.root)
  const strategy = yard.kind === 'redis' ? ('dual' as const) : ('in-place' as const)
  const spec = { name, strategy, accounts: [name], current: secret, identity, ...more }
  return { id: await engine.addCredential(system, spec), name, yard, secret }
}

async function settled(identity: string, states: readonly ClosureState[], ms = 40_000): Promise<string> {
  for (const until = engine.ctx.clock.monotonicMs() + ms; ; await sleep(20)) {
    const [row] = await engine.db.store.query<{ id: string; state: ClosureState }>('select id, state from closure where identity_id = $1', [
      identity,
    ])
    if (row !== undefined && states.includes(row.state)) return row.id
    if (engine.ctx.clock.monotonicMs() > until) {
      const items = await engine.db.store.query('select credential_name, state, problem from closure_item where ended_at is null')
      throw new Error(`the closure is ${row?.state}: ${JSON.stringify(items)}`)
    }
  }
}

interface Outcome {
  readonly state: ItemState
  readonly way: string
  readonly why: string
  readonly consumers: readonly string[]
  readonly reason: string | null
}

async function outcomes(identity: string): Promise<Map<string, Outcome>> {
  const rows = await engine.db.store.query<Outcome & { name: string }>(
    `select i.credential_name as name, i.state, i.way, i.why, i.consumers, i.problem ->> 'reason' as reason
       from closure_item i join closure o on o.id = i.closure_id where o.identity_id = $1`,
    [identity],
  )
  return new Map(rows.map(({ name, ...row }) => [name, row]))
}

async function shareWith(credential: string, user: string, owner: { readonly id: string; readonly name: string }): Promise<void> {
  await engine.db.store.query(
    `insert into exception (id, kind, credential_id, users, owner_kind, owner_id, owner_name, reason, waits_for, ends_at,
                            review_every_seconds, on_missed, created_by)
     values ($1, 'shared_account', $2, array[$3::uuid], 'person', $4, $5, 'tests', 'tests', now() + interval '30 days',
             86400, 'escalate', 'test')`,
    [newId(), credential, user, owner.id, owner.name],
  )
}

/** How each way ends when nothing goes wrong. */
const ENDS: Readonly<Record<string, ItemState>> = { suspend: 'proven_dead', rotate: 'rotated', hand_over: 'handed_over' }

test('each credential of a leaver ends as the plan says, on every system', async () => {
  const [leaver, colleague, owner] = await Promise.all([person(), person(), person()])
  const cases = new Map<string, Held>()
  // Not the leaver's, but of a value that the leaver knows.
  const again: string[] = []
  for (const yard of yards) {
    cases.set(`${yard.kind} own`, await hold(yard, leaver.id))
    const path = join(engine.folder, `${yard.kind}.of-report`)
    const used = await hold(yard, leaver.id, { consumers: [{ name: 'nightly-report', path, activation: 'none' }] })
    used.secret.revealText((text) => writeFileSync(path, `${text}\n`))
    cases.set(`${yard.kind} used`, used)
    const shared = await hold(yard, leaver.id)
    await shareWith(shared.id, colleague.id, owner)
    cases.set(`${yard.kind} shared`, shared)
    // The same account in somebody else's name.
    const twice = await hold(yard, leaver.id)
    cases.set(`${yard.kind} twice`, twice)
    await hold(yard, colleague.id, { name: `again-${twice.name}`, accounts: [twice.name], current: twice.secret })
    again.push(`again-${twice.name}`)
  }
  const [first] = yards
  if (first === undefined) throw new Error('no system runs')
  cases.set('irrevocable', await hold(first, leaver.id, {}, { connector: 'vendor' }))
  const given = await hold(first, leaver.id)
  await engine.db.store.query('update system set decommissioned_at = now() where name = $1', [`s-${given.name}`])
  cases.set('given up', given)

  const may = allowed(engine.ctx, 'closure:plan')
  const plan = new Map(
    (await planClosure({ store: engine.db.store, targets: engine.parts.targets }, may, leaver.name)).map((one) => [one.credential, one]),
  )
  expect([...plan.keys()].sort()).toEqual(
    [...cases.values()]
      .map(({ name }) => name)
      .concat(again)
      .sort(),
  )
  const wayOf = (which: string) => plan.get(cases.get(which)?.name ?? '')?.way
  for (const { kind } of yards) {
    expect([`${kind} own`, `${kind} used`, `${kind} shared`, `${kind} twice`].map(wayOf)).toEqual([
      'suspend',
      'rotate',
      'rotate',
      'hand_over',
    ])
  }
  expect([wayOf('irrevocable'), wayOf('given up')]).toEqual(['hand_over', 'hand_over'])
  // The plan itself changes nothing.
  for (const { yard, name, secret } of cases.values()) expect(await accepts(yard, name, secret), name).toBe(true)
  expect(await engine.db.store.query('select id from closure where identity_id = $1', [leaver.id])).toEqual([])

  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await settled(leaver.id, ['waiting'])
  const came = await outcomes(leaver.id)
  for (const [which, { name, yard, secret }] of cases) {
    const planned = plan.get(name)
    const { state, way, why, consumers, reason } = came.get(name) ?? {}
    expect({ which, way, why, consumers }).toEqual({ which, way: planned?.way, why: planned?.why, consumers: planned?.consumers })
    expect({ which, state }).toEqual({ which, state: ENDS[planned?.way ?? ''] })
    if (planned?.way === 'hand_over') expect(reason).toBe(planned.why)
    expect({ which, opens: await accepts(yard, name, secret).catch(() => false) }).toEqual({ which, opens: planned?.way === 'hand_over' })
  }
  for (const name of again)
    expect([came.get(name)?.way, came.get(name)?.state]).toEqual([plan.get(name)?.way, ENDS[plan.get(name)?.way ?? '']])
  for (const yard of yards) {
    const published = Secret.fromText(readFileSync(join(engine.folder, `${yard.kind}.of-report`), 'utf8').trim())
    expect(await accepts(yard, cases.get(`${yard.kind} used`)?.name ?? '', published)).toBe(true)
  }
})

test('no connection: the plan asks no system, so it says what is meant; it comes so when the system is back', async () => {
  const [yard] = yards
  if (yard === undefined) throw new Error('no system runs')
  const leaver = await person()
  const proxy = await yard.lab.startProxy()
  try {
    const one = await hold(yard, leaver.id, {}, { address: { ...yard.lab.address, host: '127.0.0.1', port: proxy.port } })
    proxy.refuse()
    const may = allowed(engine.ctx, 'closure:plan')
    const [planned] = await planClosure({ store: engine.db.store, targets: engine.parts.targets }, may, leaver.name)
    expect(planned).toMatchObject({ credential: one.name, way: 'suspend' })
    await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
    await settled(leaver.id, ['destroying'])
    // Again and again: a claim that is under way writes its own count.
    const hurry = setInterval(() => {
      engine.db.store
        .query("update closure_item set tries = 11 where credential_id = $1 and state = 'planned'", [one.id])
        .catch(() => undefined)
    }, 100)
    const closure = await settled(leaver.id, ['waiting']).finally(() => clearInterval(hurry))
    expect((await outcomes(leaver.id)).get(one.name)).toMatchObject({ state: 'handed_over', way: 'suspend' })
    expect(await accepts(yard, one.name, one.secret)).toBe(true)
    proxy.heal()
    await retryClosure(engine.parts, engine.ctx, allowed(engine.ctx, 'closure:retry'), closure, null)
    await settled(leaver.id, ['closed'])
    expect((await outcomes(leaver.id)).get(one.name)).toMatchObject({ state: 'proven_dead', way: 'suspend' })
  } finally {
    await proxy.stop()
  }
})

test('a suspension is reversible: after the resume the same secret logs in, on every system', async () => {
  const away = await person()
  const held = await Promise.all(yards.map((yard) => hold(yard, away.id)))
  const stored = () =>
    engine.db.store.query('select id, number, state, fingerprint from version where credential_id = any($1::uuid[]) order by id', [
      held.map(({ id }) => id),
    ])
  const before = await stored()
  await inTx((tx) => suspendIdentity(tx, engine.ctx, away.id, 'away'))
  await settled(away.id, ['suspended'])
  for (const { yard, name, secret } of held) expect(await accepts(yard, name, secret).catch(() => false), yard.kind).toBe(false)
  await inTx((tx) => resumeIdentity(tx, engine.ctx, away.id, 'back'))
  await settled(away.id, ['resumed'])
  for (const { yard, name, secret } of held) expect(await accepts(yard, name, secret), yard.kind).toBe(true)
  expect(await stored()).toEqual(before)
})

/** Two workers over one queue, workers killed at any moment, and clocks that jump. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Engine } from '../../src/credential/testing.ts'
import { type Clock, sleep, systemClock } from '../../src/kernel/index.ts'
import { Child } from './child.parent.ts'
import { Hooks } from './kit.hooks.ts'
import { type Case, ended, faultsAfter, faultsDuring, heldValues, makeCase, rotate, Tally } from './kit.ts'
import { accepts, availableKinds, startYards, WAYS, type Way, type Yard } from './kit.yards.ts'

const CONCURRENT = 3
const DAY_MS = 86_400_000

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const tally = new Tally()
let yards: Yard[]
let engine: Engine

beforeAll(async () => {
  yards = await startYards(kinds)
})
afterAll(async () => {
  tally.print()
  await engine?.stop()
  await Promise.all((yards ?? []).map((yard) => yard.lab.stop()))
})
beforeEach(async () => {
  await engine?.stop()
  offsetMs = 0
  engine = await Engine.start({ worker: false, clock: jumping, parts: { trap: hooks.trap } })
})

/** Wall time as far off as told; monotonic time as it is. */
let offsetMs = 0
const jumping: Clock = { now: () => new Date(systemClock.now().getTime() + offsetMs), monotonicMs: systemClock.monotonicMs }
const hooks = new Hooks()

function yardOf(way: Way): Yard {
  const yard = yards.find((each) => each.kind === way.kind)
  if (yard === undefined) throw new Error(`${way.kind} does not run`)
  return yard
}

/** Forty credentials, five or more of each way; those of one kind of system share it. */
async function forty(): Promise<Case[]> {
  const shared = new Map<string, string>()
  const cases: Case[] = []
  while (cases.length < 40) {
    const way = ways[cases.length % ways.length] as Way
    const system = way.root ? undefined : shared.get(way.kind)
    const one = await makeCase(engine, yardOf(way), way, { concurrent: CONCURRENT, ...(system ? { system } : {}) })
    if (!way.root) shared.set(way.kind, one.system)
    cases.push(one)
  }
  return cases
}

async function check(group: string, cases: readonly Case[], ids: readonly string[]): Promise<void> {
  const found = await Promise.all(cases.map((one, index) => tally.count(group, faultsAfter(engine, one, ids[index] ?? ''))))
  expect(found.flat()).toEqual([])
}

test('two workers race over 40 rotations: each ends once, and no system sees more at once than it may', async () => {
  const cases = await forty()
  const children = await Promise.all([Child.start(engine), Child.start(engine)])
  const ids = await rotate(engine, cases)
  let most = 0
  const sampling = new AbortController()
  const sampled = (async () => {
    while (!sampling.signal.aborted) {
      const [row] = await engine.db.store.query<{ most: number | null }>(
        `select max(held)::int as most
           from (select count(*) as held from rotation where lease_until > now() group by system_id) as each_system`,
      )
      most = Math.max(most, row?.most ?? 0)
      await sleep(2)
    }
  })()
  await ended(engine, ids)
  sampling.abort()
  await sampled
  await Promise.all(children.map((child) => child.stop()))
  await check('two workers race', cases, ids)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(CONCURRENT)
  const actors = await engine.db.store.query(
    "select distinct body::jsonb->>'actor' from evidence_event where body like '%rotation.staged%'",
  )
  expect(actors).toHaveLength(2)
})

test('workers killed at any moment, again and again', async () => {
  const cases = await forty()
  const ids = await rotate(engine, cases)
  const during: string[] = []
  for (const lifeMs of [60, 150, 90, 240, 120, 180]) {
    const child = await Child.start(engine)
    await sleep(lifeMs)
    await child.kill()
    for (const one of cases.filter((_, index) => index % 4 === lifeMs % 4)) during.push(...(await faultsDuring(engine, one)))
  }
  const last = await Child.start(engine)
  await ended(engine, ids)
  await last.stop()
  expect(during).toEqual([])
  await check('killed at any moment', cases, ids)
})

test.each([1, -1])('the clock jumps by %i day at the install and back at the proof', async (days) => {
  const cases = await Promise.all(ways.map((way) => makeCase(engine, yardOf(way), way)))
  const at = (place: string) => (place === 'install' ? days * DAY_MS : 0)
  await engine.addWorker()
  const ids = await hooks.start(
    () => rotate(engine, cases),
    (index) => (index % 2 === 0 ? 'after_install' : 'before_proof'),
    (index) => {
      offsetMs = at(index % 2 === 0 ? 'install' : 'proof')
    },
  )
  await ended(engine, ids, 20_000)
  await check('the clock jumps', cases, ids)
})

test.each([1, -1])('a grace period is as long as it is when the clock jumps by %i day', async (days) => {
  const overlapping = ways.filter((way) => !way.root && way.strategy !== 'in-place')
  const graceSeconds = 3
  const cases = await Promise.all(overlapping.map((way) => makeCase(engine, yardOf(way), way, { graceSeconds })))
  const olds = await Promise.all(cases.map(async (one) => (await heldValues(engine, one.credential))[0]))
  await engine.addWorker()
  const ids = await rotate(engine, cases)
  const startedMs = systemClock.monotonicMs()
  for (const id of ids) await engine.until(id, (view) => view.state === 'activated' && (view.reason ?? '').startsWith('grace'))
  offsetMs = days * DAY_MS
  await (await engine.addWorker()).stop()
  await sleep(1_200)
  for (const [index, one] of cases.entries()) {
    const old = olds[index]
    expect(old && (await accepts(one.yard, old.account, old.secret))).toBe(true)
  }
  await ended(engine, ids, 15_000)
  const tookMs = systemClock.monotonicMs() - startedMs
  expect(tookMs).toBeGreaterThanOrEqual(graceSeconds * 1_000)
  await check('the clock jumps in the grace period', cases, ids)
})

test('the patience with consumers does not end when the clock jumps', async () => {
  const cases = await Promise.all(ways.map((way) => makeCase(engine, yardOf(way), way, { activation: 'report' })))
  await engine.addWorker()
  const ids = await rotate(engine, cases)
  for (const id of ids) await engine.until(id, (view) => view.state === 'distributed' && view.reason !== null)
  offsetMs = DAY_MS
  await sleep(3_000)
  for (const [index, id] of ids.entries()) {
    expect((await engine.until(id, () => true)).state).toBe('distributed')
    expect(readFileSync(cases[index]?.path ?? '', 'utf8')).not.toBe('')
  }
})

/** SIGKILL at every place of a rotation where it could hurt, for each connector and strategy; then a restart finishes the work. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RotationView, undoRotation } from '../../src/credential/index.ts'
import { Engine } from '../../src/credential/testing.ts'
import { Secret, systemClock } from '../../src/kernel/index.ts'
import { allowed } from '../../src/policy/testing.ts'
import { Child } from './child.parent.ts'
import { startConsumer } from './kit.consumer.ts'
import { type Case, connections, ended, faultsAfter, faultsDuring, heldValues, makeCase, published, rotate, Tally } from './kit.ts'
import { availableKinds, startYards, WAYS, type Way, wayName, type Yard } from './kit.yards.ts'

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const tally = new Tally()
let engine: Engine
let yards: Yard[]
let before: number[]

beforeAll(async () => {
  ;[engine, yards] = await Promise.all([Engine.start({ worker: false }), startYards(kinds)])
  before = await Promise.all(yards.map((yard) => connections(yard, 0)))
})
afterAll(async () => {
  tally.print()
  await engine?.stop()
  await Promise.all((yards ?? []).map((yard) => yard.lab.stop()))
})

function yardOf(way: Way): Yard {
  const yard = yards.find((each) => each.kind === way.kind)
  if (yard === undefined) throw new Error(`${way.kind} does not run`)
  return yard
}

function newCases(activation: 'none' | 'report', some: readonly Way[] = ways): Promise<Case[]> {
  return Promise.all(some.map((way) => makeCase(engine, yardOf(way), way, { activation })))
}

/** Recorded before the target is touched again only where the old value is still alive by then. */
const RECORDS_RETIRING = ['before_commit:retiring', 'after_commit:retiring']

/** In place, killed here, the consumer's file holds a dead value until the restart: the gap on record must cover the outage. */
const HELD_A_DEAD_VALUE = ['after_install']

function gapFaults(one: Case, view: RotationView | undefined, outageMs: number): string[] {
  const gapMs = view?.gapMs ?? 0
  return gapMs >= outageMs ? [] : [`${wayName(one.way)}: a gap of ${gapMs} ms is told after an outage of ${Math.round(outageMs)} ms`]
}

/** Kills a worker when all rotations have come to the place, looks, lets another finish, and looks again. */
async function killedAt(
  where: string,
  cases: readonly Case[],
  rotations: readonly string[],
  end: 'proven_dead' | 'undone',
): Promise<string[]> {
  const first = await Child.start(engine, { where, rotations })
  await first.sprung()
  const diedMs = systemClock.monotonicMs()
  const during = await Promise.all(cases.map((one) => faultsDuring(engine, one).catch((error: unknown) => [String(error)])))
  const outageMs = systemClock.monotonicMs() - diedMs
  const second = await Child.start(engine)
  const views = await ended(engine, rotations)
  await second.stop()
  const found = cases.map((one, index) => {
    const gap = HELD_A_DEAD_VALUE.includes(where) && one.way.strategy === 'in-place' ? gapFaults(one, views[index], outageMs) : []
    const check = faultsAfter(engine, one, rotations[index] ?? '', end)
    return tally.count(
      wayName(one.way),
      check.then((after) => [...(during[index] ?? []), ...gap, ...after]),
    )
  })
  return (await Promise.all(found)).flat()
}

describe('killed while rotating', () => {
  test.each([
    'before_commit:staged',
    'staged',
    'before_install',
    'after_install',
    'after_files',
    'before_commit:retiring',
    'after_commit:retiring',
    'retiring',
    'before_retire',
    'after_retire',
    'before_proof',
    'before_commit:proven_dead',
    'after_commit:proven_dead',
  ])('at %s', async (where) => {
    const cases = await newCases('none', RECORDS_RETIRING.includes(where) ? ways.filter((way) => way.strategy !== 'in-place') : ways)
    expect(await killedAt(where, cases, await rotate(engine, cases), 'proven_dead')).toEqual([])
  })
})

describe('killed while undoing', () => {
  test.each(['before_undo', 'after_undo', 'before_commit:undone', 'after_commit:undone'])('at %s', async (where) => {
    const cases = await newCases('report')
    const rotations = await rotate(engine, cases)
    const waiting = await Child.start(engine)
    for (const id of rotations) await engine.until(id, (view) => view.state === 'distributed')
    await waiting.stop()
    for (const id of rotations) await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), id, 'test')
    expect(await killedAt(where, cases, rotations, 'undone')).toEqual([])
  })
})

test('a consumer that took the new value just before the crash is still seen by its session', async () => {
  const telling = ways.filter((way) => !way.root && way.strategy !== 'dual')
  const cases = await Promise.all(telling.map((way) => makeCase(engine, yardOf(way), way, { activation: 'session' })))
  const rotations = await rotate(engine, cases)
  await (await Child.start(engine, { where: 'after_files', rotations })).sprung()
  const accounts = await Promise.all(cases.map(async (one) => (await heldValues(engine, one.credential)).at(-1)?.account ?? ''))
  const consumers = await Promise.all(cases.map((one, index) => startConsumer(one, accounts[index] ?? '')))
  const second = await Child.start(engine)
  await ended(engine, rotations, 15_000).finally(() => Promise.all([second.stop(), ...consumers.map((stop) => stop())]))
  const found = await Promise.all(
    cases.map((one, index) => tally.count(`${wayName(one.way)}, session rule`, faultsAfter(engine, one, rotations[index] ?? ''))),
  )
  expect(found.flat()).toEqual([])
})

test('in place, a session of the new value that began just before the crash lives on and is seen', async () => {
  const telling = ways.filter((way) => !way.root && way.strategy === 'in-place')
  const cases = await Promise.all(telling.map((way) => makeCase(engine, yardOf(way), way, { activation: 'session' })))
  const rotations = await rotate(engine, cases)
  await (await Child.start(engine, { where: 'placed_early', rotations })).sprung()
  // It read its file, logged in once, and does not come again.
  const sessions = await Promise.all(
    cases.map((one) => one.yard.lab.openSession(one.name, published(one.path) ?? Secret.fromText('none'), 'app')),
  )
  const second = await Child.start(engine)
  await ended(engine, rotations, 15_000).finally(() => second.stop())
  expect(await Promise.all(sessions.map((session) => session.alive()))).toEqual(cases.map(() => true))
  await Promise.all(sessions.map((session) => session.close()))
  const found = await Promise.all(
    cases.map((one, index) => tally.count(`${wayName(one.way)}, session rule`, faultsAfter(engine, one, rotations[index] ?? ''))),
  )
  expect(found.flat()).toEqual([])
})

test('as many connections on the targets as before', async () => {
  expect(await Promise.all(yards.map((yard, index) => connections(yard, before[index] ?? 0)))).toEqual(before)
})

/** Rekey's own database goes away in the middle: restarted, and its connections killed so that nobody knows whether a commit happened. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Engine } from '../../src/credential/testing.ts'
import { sleep, systemClock } from '../../src/kernel/index.ts'
import { type OwnDatabase, startOwnDatabase } from './kit.database.ts'
import { Hooks } from './kit.hooks.ts'
import { type Case, endedInTheEnd, faultsAfter, makeCase, rotate, Tally } from './kit.ts'
import { availableKinds, startYards, WAYS, type Yard } from './kit.yards.ts'

const KILL_FOR_MS = 3_000
const KILL_EVERY_MS = 5
const GONE_MS = 2_500

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const hooks = new Hooks()
const tally = new Tally()
let own: OwnDatabase
let engine: Engine
let yards: Yard[]

beforeAll(async () => {
  own = await startOwnDatabase()
  ;[engine, yards] = await Promise.all([Engine.start({ db: own.db, parts: { trap: hooks.trap } }), startYards(kinds)])
})
afterAll(async () => {
  tally.print()
  await engine?.stop()
  await own?.stop()
  await Promise.all((yards ?? []).map((yard) => yard.lab.stop()))
})

async function casesOf(times: number): Promise<Case[]> {
  const cases: Case[] = []
  for (let n = 0; n < times; n++) {
    for (const way of ways) {
      const yard = yards.find((each) => each.kind === way.kind)
      if (yard) cases.push(await makeCase(engine, yard, way))
    }
  }
  return cases
}

async function check(group: string, cases: readonly Case[], ids: readonly string[]): Promise<void> {
  const found = await Promise.all(cases.map((one, index) => tally.count(group, faultsAfter(engine, one, ids[index] ?? ''))))
  expect(found.flat()).toEqual([])
}

test.each(['staged', 'after_install', 'after_files', 'before_proof'])(
  'restarted when the first rotation is at %s',
  { timeout: 120_000 },
  async (where) => {
    const cases = await casesOf(1)
    let restart: Promise<void> | undefined
    const ids = await hooks.start(
      () => rotate(engine, cases),
      () => where,
      () => {
        restart ??= own.server.restart()
      },
    )
    await sleep(500)
    await endedInTheEnd(engine, ids, 30_000)
    await restart
    expect(restart).toBeDefined()
    await check('own database restarted', cases, ids)
  },
)

test.each(['staged', 'retiring', 'proven_dead'])('the answer to the commit of %s is lost: what was written is found', async (state) => {
  const cases = await casesOf(1)
  own.hop.cutAfterRequest(`"state":"${state}"`)
  const ids = await rotate(engine, cases)
  await endedInTheEnd(engine, ids, 20_000)
  await check('own commit unanswered', cases, ids)
})

test('connections killed all the while: an unknown commit is neither lost nor made twice', { timeout: 150_000 }, async () => {
  const cases = await casesOf(8)
  const ids = await rotate(engine, cases)
  let killed = 0
  for (const until = systemClock.monotonicMs() + KILL_FOR_MS; systemClock.monotonicMs() < until; await sleep(KILL_EVERY_MS)) {
    const [row] = await own.server.query<{ n: number }>(
      "select count(pg_terminate_backend(pid))::int as n from pg_stat_activity where application_name = 'rekey' and state <> 'idle'",
    )
    killed += row?.n ?? 0
  }
  expect(killed).toBeGreaterThan(3)
  await endedInTheEnd(engine, ids, 40_000)
  await check('own connections killed', cases, ids)
})

test('gone for a while and back: one connection for notices, as before', async () => {
  own.hop.refuse()
  await sleep(GONE_MS)
  own.hop.heal()
  // The longest pause before another try is two seconds.
  await sleep(2_500)
  const [row] = await own.server.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where application_name = 'rekey-listen'",
  )
  await tally.count('own database gone and back', Promise.resolve(row?.n === 1 ? [] : [`${row?.n} connections`]))
  expect(row?.n).toBe(1)
})

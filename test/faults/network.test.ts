/**
 * The network between Rekey and a target: cut after the request, late, gone for a while. Duplicated replies are left out: TCP delivers
 * a stream, in which the network cannot repeat anything.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LabProxy } from '../../src/connectors/contract.kit.ts'
import { Engine } from '../../src/credential/testing.ts'
import { sleep } from '../../src/kernel/index.ts'
import { Hooks } from './kit.hooks.ts'
import { bodiesOf, type Case, ended, faultsAfter, faultsDuring, makeCase, rotate, Tally } from './kit.ts'
import { availableKinds, startYards, WAYS, type Way, type Yard } from './kit.yards.ts'

/** Deadline of a target call in these tests, milliseconds. */
const CALL_MS = 600
const DOWN_MS = process.env.REKEY_FAULTS === 'long' ? 60_000 : 8_000

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const overlapping = ways.filter((way) => way.strategy !== 'in-place')
const hooks = new Hooks()
const tally = new Tally()
const proxies: LabProxy[] = []
let engine: Engine
let yards: Yard[]

beforeAll(async () => {
  const options = { callMs: CALL_MS, parts: { trap: hooks.trap } }
  ;[engine, yards] = await Promise.all([Engine.start(options), startYards(kinds)])
})
afterAll(async () => {
  tally.print()
  await engine?.stop()
  await Promise.all(proxies.map((proxy) => proxy.stop()))
  await Promise.all((yards ?? []).map((yard) => yard.lab.stop()))
})

interface Hop {
  readonly one: Case
  readonly proxy: LabProxy
}

/** A case whose system Rekey knows only by the proxy before it. */
async function behindProxy(way: Way): Promise<Hop> {
  const yard = yards.find((each) => each.kind === way.kind)
  if (yard === undefined) throw new Error(`${way.kind} does not run`)
  const proxy = await yard.lab.startProxy()
  proxies.push(proxy)
  return { one: await makeCase(engine, yard, way, { address: { ...yard.lab.address, port: proxy.port } }), proxy }
}

/** Rotates each way at each place behind a proxy that does `harm` when its rotation comes there. Resolves with the rotations, all ended. */
async function harmed(
  group: string,
  places: readonly string[],
  some: readonly Way[],
  harm: (hop: Hop) => void | Promise<void>,
  ms = 45_000,
): Promise<string[]> {
  const plan = places.flatMap((at) => some.map((way) => ({ at, way })))
  const hops = await Promise.all(plan.map(({ way }) => behindProxy(way)))
  const cases = hops.map((hop) => hop.one)
  const ids = await hooks.start(
    () => rotate(engine, cases),
    (index) => plan[index]?.at ?? '',
    (index) => harm(hops[index] as Hop),
  )
  await ended(engine, ids, ms)
  expect(hooks.left).toBe(0)
  const found = plan.map(({ at }, index) => tally.count(`${group} ${at}`, faultsAfter(engine, cases[index] as Case, ids[index] ?? '')))
  expect((await Promise.all(found)).flat()).toEqual([])
  return ids
}

test('cut after the request of an install: what was done is found by probing', async () => {
  const ids = await harmed('cut in the call', ['before_install'], ways, ({ one, proxy }) =>
    proxy.cutAfterRequest(one.yard.lab.installMarker),
  )
  for (const id of ids) {
    const installed = (await bodiesOf(engine, id)).find((body) => body.type === 'rotation.installed')
    expect(installed?.data.afterInterruption).toMatchObject({ new: { outcome: 'accepted' } })
  }
})

test('cut after the request of a retirement', async () => {
  await harmed('cut in the call', ['before_retire'], overlapping, ({ one, proxy }) => proxy.cutAfterRequest(one.yard.lab.installMarker))
})

test('replies come later than the deadline', { timeout: 120_000 }, async () => {
  await harmed('replies too late', ['before_install', 'after_install', 'before_retire'], ways, ({ proxy }) => {
    proxy.delay(CALL_MS * 2)
    setTimeout(() => proxy.heal(), CALL_MS * 4)
  })
})

test('the target is gone for a while: what Rekey holds is accepted meanwhile, and it goes on afterwards', {
  timeout: DOWN_MS * 3 + 240_000,
}, async () => {
  const during: string[] = []
  const harm = async ({ one, proxy }: Hop) => {
    proxy.refuse()
    void sleep(DOWN_MS / 2).then(async () => during.push(...(await faultsDuring(engine, one))))
    void sleep(DOWN_MS).then(() => proxy.heal())
  }
  await harmed('target gone', ['before_install', 'after_install', 'before_retire', 'after_retire'], ways, harm, DOWN_MS * 3 + 200_000)
  expect(during).toEqual([])
})

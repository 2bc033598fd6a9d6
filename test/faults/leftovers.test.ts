/** What a rotation must not leave behind, and a schedule that must not be left out. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { retryRotation } from '../../src/credential/index.ts'
import { Engine } from '../../src/credential/testing.ts'
import { type Log, sleep } from '../../src/kernel/index.ts'
import { allowed } from '../../src/policy/testing.ts'
import { type Proxy as Hop, startProxy } from '../lab/proxy.ts'
import { Child } from './child.parent.ts'
import { type Case, connections, ended, faultsAfter, heldValues, makeCase, rotate, Tally } from './kit.ts'
import { availableKinds, startYards, WAYS, type Way, wayName, type Yard } from './kit.yards.ts'

/** Longer than a connector keeps an idle connection. */
const IDLE_MS = 15_000
/** Of a machine with much else to do a timer comes late, and a server is slow to notice an end. What leaks stays for good. */
const LOADED_MS = 3 * IDLE_MS

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const tally = new Tally()
const logged: string[] = []
let yards: Yard[]
let engine: Engine

/** Everything that is logged, as it would be written. */
const log: Log = {
  info: (fields, message) => void logged.push(JSON.stringify([fields, message])),
  warn: (fields, message) => void logged.push(JSON.stringify([fields, message])),
  error: (fields, message) => void logged.push(JSON.stringify([fields, message])),
}

beforeAll(async () => {
  ;[engine, yards] = await Promise.all([Engine.start({ worker: false, log }), startYards(kinds)])
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

test('a schedule outlives every kill, and is kept', async () => {
  const [way] = ways
  if (way === undefined) throw new Error('there is no way')
  const one = await makeCase(engine, yardOf(way), way, { everySeconds: 2 })
  for (const where of ['before_install', 'before_commit:proven_dead', 'after_commit:proven_dead', 'before_commit:staged']) {
    await (await Child.start(engine, { where, rotations: [] })).sprung()
    const [row] = await engine.db.store.query<{ next: Date | null }>('select next_rotation_at as next from credential where id = $1', [
      one.credential,
    ])
    expect(row?.next).not.toBeNull()
  }
  const last = await Child.start(engine)
  const proven = async () => {
    const rows = await engine.db.store.query<{ state: string; reason: string }>(
      'select state, reason from rotation where credential_id = $1',
      [one.credential],
    )
    expect(rows.every((row) => row.reason === 'schedule')).toBe(true)
    return rows.filter((row) => row.state === 'proven_dead').length
  }
  for (let waited = 0; (await proven()) < 4 && waited < 200; waited++) await sleep(100)
  await last.stop()
  await engine.db.store.query('update credential set every_seconds = null, next_rotation_at = null where id = $1', [one.credential])
  expect(await proven()).toBeGreaterThanOrEqual(4)
  await tally.count('schedule', Promise.resolve([]))
})

test('200 rotations leave as many connections on each target as there were', { timeout: 300_000 }, async () => {
  // What the tests before left is gone by then: counted too early it would be more than is there at the end.
  const before = await Promise.all(yards.map((yard) => connections(yard, 0, IDLE_MS)))
  const plain = ways.filter((way) => !way.root)
  const shared = new Map<string, string>()
  const cases: Case[] = []
  while (cases.length < 200) {
    const way = plain[cases.length % plain.length] as Way
    const system = shared.get(way.kind)
    const one = await makeCase(engine, yardOf(way), way, system ? { system } : {})
    shared.set(way.kind, one.system)
    cases.push(one)
  }
  const worker = await engine.addWorker()
  const ids = await rotate(engine, cases)
  await ended(engine, ids, 120_000)
  const after = await Promise.all(yards.map((yard, index) => connections(yard, before[index] ?? 0, LOADED_MS)))
  const more = yards.flatMap(({ kind }, index) => ((after[index] ?? 0) > (before[index] ?? 0) ? [kind] : []))
  expect(more, `before ${before}, after ${after}`).toEqual([])
  await worker.stop()
  const found: string[] = []
  // A few at a time: two hundred at once wait for a connection longer than it is given.
  for (let from = 0; from < cases.length; from += 10) {
    const some = cases.slice(from, from + 10)
    const faults = some.map((one, index) => tally.count('200 rotations', faultsAfter(engine, one, ids[from + index] ?? '')))
    found.push(...(await Promise.all(faults)).flat())
  }
  expect(found).toEqual([])
})

/** The error of each system that means "this value is refused", with a text of one's choice. */
const REFUSALS: Readonly<Partial<Record<Yard['kind'], (text: Buffer) => Buffer>>> = {
  postgres(text) {
    const fields = Buffer.concat([
      Buffer.from('SERROR\0VERROR\0CP0001\0M'),
      withoutNul(text),
      Buffer.from('\0D'),
      withoutNul(text),
      Buffer.from('\0\0'),
    ])
    const head = Buffer.alloc(5, 'E')
    head.writeInt32BE(fields.length + 4, 1)
    return Buffer.concat([head, fields, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])])
  },
  mariadb(text) {
    const body = Buffer.concat([Buffer.from([0xff, 1819 & 0xff, 1819 >> 8]), Buffer.from('#HY000'), text])
    const head = Buffer.from([body.length & 0xff, body.length >> 8, 0, 1])
    return Buffer.concat([head, body])
  },
  redis(text) {
    const request = text.toString('latin1')
    // One answer for each command that was sent together.
    return Buffer.from(
      `-ERR refused: ${request.replaceAll(/[\r\n]+/g, ' ')}\r\n`.repeat(request.match(/\*\d+\r\n/g)?.length ?? 1),
      'latin1',
    )
  },
}

function withoutNul(text: Buffer): Buffer {
  return Buffer.from(text.filter((byte) => byte !== 0))
}

/** Verifiers as they stand in a request: SCRAM-SHA-256$…, *SHA1(SHA1()), #sha256. */
const VERIFIERS = /SCRAM-SHA-256\$[^'"\s]+|\*[0-9A-F]{40}|#[0-9a-f]{64}/g

test.each(kinds)('%s quotes the refused statement: its text goes nowhere', async (kind) => {
  const way = ways.find((each) => each.kind === kind && !each.root)
  const refuse = REFUSALS[kind]
  if (way === undefined || refuse === undefined) throw new Error(kind)
  const { lab } = yardOf(way)
  const proxy: Hop = await startProxy(lab.address)
  const seen = new Set<string>()
  try {
    const one = await makeCase(engine, yardOf(way), way, { address: { ...lab.address, port: proxy.port } })
    proxy.rewriteReplies((reply, request) => {
      const text = request.toString('latin1')
      if (!text.includes(lab.installMarker)) return reply
      for (const verifier of text.match(VERIFIERS) ?? []) seen.add(verifier)
      return refuse(request)
    })
    const worker = await engine.addWorker()
    const [id = ''] = await rotate(engine, [one])
    expect((await engine.finished(id)).state).toBe('blocked')
    const values = (await heldValues(engine, one.credential)).slice(1)
    expect(values.length).toBeGreaterThanOrEqual(1)
    expect(seen.size).toBeGreaterThanOrEqual(1)
    proxy.heal()
    await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)
    expect((await engine.until(id, (view) => view.endedAt !== null)).state).toBe('proven_dead')
    await worker.stop()
    const written = [...logged, ...(await everythingStored())].join('\n')
    expect(written).toContain(id)
    expect(logged.join()).toContain(id)
    const secrets = values.map((each) => each.secret.revealText((text) => text))
    const leaked = [...secrets, ...seen].filter((text) => written.includes(text))
    await tally.count(`quoted statement`, Promise.resolve(leaked.map(() => `${wayName(way)}: leaked`)))
    expect(leaked).toEqual([])
  } finally {
    await proxy.stop()
  }
})

/** Every row of what an operator can see, as text. */
async function everythingStored(): Promise<string[]> {
  const tables = ['rotation', 'evidence_event', 'credential', 'version', 'system', 'consumer']
  const rows = await Promise.all(
    tables.map((table) => engine.db.store.query<{ text: string }>(`select to_jsonb(t)::text as text from ${table} t`)),
  )
  return rows.flat().map((row) => row.text)
}

test('a start is a row at once, and a second one is refused while the first is on its way', async () => {
  const [way] = ways
  if (way === undefined) throw new Error('there is no way')
  const one = await makeCase(engine, yardOf(way), way)
  const [id = ''] = await rotate(engine, [one])
  expect((await engine.until(id, () => true)).state).toBe('planned')
  await expect(rotate(engine, [one])).rejects.toMatchObject({ code: 'conflict' })
  const worker = await engine.addWorker()
  expect((await engine.finished(id)).state).toBe('proven_dead')
  await worker.stop()
  await tally.count('started means started', faultsAfter(engine, one, id))
})

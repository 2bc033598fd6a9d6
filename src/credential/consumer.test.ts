import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { type ErrorCode, makeCtx, newId, RekeyError, Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { possessionProof } from '../seal/index.ts'
import { answerChallenge, type Challenge, makeChallenge } from './consumer.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'consumer')
const may = allowed(ctx, 'consumer:report')
let target: LabPostgres
let engine: Engine
let system: string
beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start()])
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('db', 'postgres', address, { account: target.superuser.account, secret: target.superuser.secret })
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

let serial = 0
let name = ''
let path = ''
beforeEach(async () => {
  const account = `svc_${++serial}`
  name = `${account}@db`
  path = join(engine.folder, account)
  await target.query(`create role ${account} login password 'old value'`)
  await engine.addCredential(system, {
    name,
    strategy: 'in-place',
    accounts: [account],
    current: Secret.fromText('old value'),
    consumers: [
      { name: 'one', path, activation: 'report' },
      { name: 'two', activation: 'report' },
      { name: 'quiet', activation: 'none' },
    ],
  })
})

const challenge = (consumer: string) => makeChallenge(engine.parts, ctx, may, name, consumer)
const answer = ({ id, nonce }: Challenge, value: Secret) => answerChallenge(engine.parts, ctx, may, id, possessionProof(value, nonce))
/** The new value as the consumer finds it. */
const newValue = () => Secret.fromText(readFileSync(path, 'utf8').trimEnd())

async function codeOf(doing: Promise<unknown>): Promise<ErrorCode | 'fine'> {
  return doing.then(
    () => 'fine',
    (error: unknown) => (error instanceof RekeyError ? error.code : 'internal'),
  )
}

async function waiting(): Promise<string> {
  const [rotation = ''] = await engine.rotate([name])
  await engine.until(rotation, ({ state, reason }) => state === 'distributed' && reason !== null)
  return rotation
}

const activations = (rotation: string) =>
  engine.db.store.query('select consumer_name, how from activation where rotation_id = $1 order by 1', [rotation])

test('a rotation goes on when every consumer has shown the new value, and not before', async () => {
  const rotation = await waiting()
  await answer(await challenge('one'), newValue())
  expect((await engine.until(rotation, ({ reason }) => reason === 'waiting for two to be seen with the new value')).state).toBe(
    'distributed',
  )
  await answer(await challenge('two'), newValue())
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
  expect(await activations(rotation)).toEqual([
    { consumer_name: 'one', how: 'report' },
    { consumer_name: 'two', how: 'report' },
  ])
  const events = await engine.db.store.query<{ consumer: string }>(
    `select body::jsonb -> 'data' ->> 'consumer' as consumer from evidence_event
      where subject = $1 and body::jsonb ->> 'type' = 'consumer.reported' order by id`,
    [name],
  )
  expect(events).toEqual([{ consumer: 'one' }, { consumer: 'two' }])
})

test('the last report wakes a rotation that sleeps', async () => {
  const rotation = await waiting()
  await answer(await challenge('one'), newValue())
  const lulled = () =>
    engine.db.store.query("update rotation set due_at = now() + interval '1 hour' where id = $1 and lease_until is null returning id", [
      rotation,
    ])
  await expect.poll(lulled).toHaveLength(1)
  await answer(await challenge('two'), newValue())
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
})

test.each<[string, (made: Challenge) => Uint8Array]>([
  ['keyed with the old value', ({ nonce }) => possessionProof(Secret.fromText('old value'), nonce)],
  ['over another nonce', () => possessionProof(newValue(), new Uint8Array(32))],
  ['cut short', ({ nonce }) => possessionProof(newValue(), nonce).subarray(0, 31)],
  ['made longer by itself', ({ nonce }) => Buffer.concat([possessionProof(newValue(), nonce), possessionProof(newValue(), nonce)])],
  ['empty', () => new Uint8Array()],
  ['the value itself', () => newValue().reveal((bytes) => Uint8Array.from(bytes))],
])('a proof %s is refused and burns the challenge', async (_what, make) => {
  const rotation = await waiting()
  const made = await challenge('one')
  expect(await codeOf(answerChallenge(engine.parts, ctx, may, made.id, make(made)))).toBe('proof_refused')
  expect(await codeOf(answer(made, newValue()))).toBe('proof_refused')
  expect(await activations(rotation)).toEqual([])
  expect(await codeOf(answer(await challenge('one'), newValue()))).toBe('fine')
})

test('a challenge is good for one answer, for its consumer, for five minutes', async () => {
  const rotation = await waiting()
  const made = await challenge('one')
  expect(made.nonce).toHaveLength(32)
  expect(Math.abs(made.expiresAt.getTime() - ctx.clock.now().getTime() - 300_000)).toBeLessThan(10_000)
  const codes = await Promise.all(Array.from({ length: 5 }, () => codeOf(answer(made, newValue()))))
  expect(codes.sort()).toEqual(['fine', 'proof_refused', 'proof_refused', 'proof_refused', 'proof_refused'])
  expect(await activations(rotation)).toEqual([{ consumer_name: 'one', how: 'report' }])
  const late = await challenge('two')
  await engine.db.store.query('update challenge set expires_at = now() where id = $1', [late.id])
  expect(await codeOf(answer(late, newValue()))).toBe('proof_refused')
  for (const id of [newId(), 'nonsense', '']) expect(await codeOf(answer({ ...late, id }, newValue()))).toBe('proof_refused')
})

test('the same report twice counts once', async () => {
  const rotation = await waiting()
  const [first, second] = [await challenge('one'), await challenge('one')]
  await answer(first, newValue())
  expect(await codeOf(answer(second, newValue()))).toBe('fine')
  expect(await activations(rotation)).toEqual([{ consumer_name: 'one', how: 'report' }])
})

test('nothing is asked of who does not report, is not there, or has nothing to report', async () => {
  expect(await codeOf(challenge('one'))).toBe('wrong_state')
  await waiting()
  expect(await codeOf(challenge('quiet'))).toBe('wrong_state')
  expect(await codeOf(challenge('nobody'))).toBe('not_found')
  expect(await codeOf(makeChallenge(engine.parts, ctx, may, 'nothing', 'one'))).toBe('not_found')
})

test('a challenge that outlives its rotation reports nothing', async () => {
  const rotation = await waiting()
  const made = await challenge('one')
  for (const each of ['one', 'two']) await answer(await challenge(each), newValue())
  await engine.finished(rotation)
  expect(await codeOf(answer(made, newValue()))).toBe('wrong_state')
})

test('a consumer that is late for a blocked rotation may still report', async () => {
  const rotation = await waiting()
  await engine.db.store.query(
    `update rotation set state = 'blocked', blocked_from = 'distributed', blocked_at = now(), due_at = null, lease_until = null,
            lease_epoch = lease_epoch + 1 where id = $1`,
    [rotation],
  )
  await answer(await challenge('one'), newValue())
  const [row] = await engine.db.store.query<{ state: string; due_at: Date | null }>('select state, due_at from rotation where id = $1', [
    rotation,
  ])
  expect(row).toEqual({ state: 'blocked', due_at: null })
  expect(await activations(rotation)).toHaveLength(1)
})

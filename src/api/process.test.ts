import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { sequence, verifyBundle } from '../evidence/index.ts'
import { makeCtx } from '../kernel/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(3)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

test('before the first checkpoint there is no key and no bundle; then there are, and the bundle verifies under the key', async () => {
  expect((await server.get('/v1/evidence/key')).status).toBe(404)
  expect((await server.get('/v1/evidence/bundle')).status).toBe(404)
  const waiting = (await server.get('/v1/status')).body.evidence
  expect(waiting.unsequenced).toBeGreaterThan(0)
  expect(waiting.checkpoints).toEqual([])
  await sequence(server.db.store, makeCtx('test', 'test'), server.parts.signer)
  const { key } = (await server.get('/v1/evidence/key')).body
  const bundle = await server.get('/v1/evidence/bundle')
  expect(bundle.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const verdict = verifyBundle(Buffer.from(bundle.text), key)
  expect(verdict).toMatchObject({ ok: true, problems: [] })
  const { evidence } = (await server.get('/v1/status')).body
  expect(evidence.unsequenced).toBe(0)
  expect(evidence.checkpoints.map(({ log }: { log: string }) => log).sort()).toEqual(['credential', 'identity'])
  expect((await server.get('/v1/evidence/bundle?credential=app-1')).text.length).toBeLessThan(bundle.text.length)
  expect((await server.get('/v1/evidence/bundle?since=yesterday')).status).toBe(400)
})

test('figures for Prometheus are those of the database at this moment', async () => {
  const value = async (name: string) => {
    const { text } = await server.get('/metrics')
    return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (.*)$`, 'm').exec(text)?.[1])
  }
  expect(await value('rekey_rotations{state="planned"}')).toBe(0)
  const { body } = await server.post('/v1/rotations', { names: ['app-0', 'app-1'] })
  expect(await value('rekey_rotations{state="planned"}')).toBe(2)
  expect(await value('rekey_evidence_unsequenced{log="credential"}')).toBeGreaterThan(0)
  await server.post(`/v1/rotations/${body.rotations[0].rotation}/undo`)
  await server.db.store.query("update rotation set created_at = ended_at - interval '90 s' where ended_at is not null")
  expect(await value('rekey_rotations{state="undone"}')).toBe(1)
  expect(await value('rekey_rotations_ended')).toBe(1)
  expect(await value('rekey_rotation_seconds_sum')).toBeCloseTo(90)
  expect(await value('rekey_database_up')).toBe(1)
  expect(await value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
})

test('rotating the key-encryption key wraps every data key again, once per Idempotency-Key', async () => {
  const [before] = (await server.get('/v1/keks')).body.items
  const key = { 'idempotency-key': 'rotate-once' }
  const rotated = await server.post('/v1/keks/rotate', {}, key)
  expect(rotated.status).toBe(202)
  // Three credentials, the root of their system, and the key of fingerprints.
  expect(rotated.body.rewrapped).toBe(5)
  expect(rotated.body.kek).not.toBe(before.id)
  expect((await server.post('/v1/keks/rotate', {}, key)).text).toBe(rotated.text)
  const { items } = (await server.get('/v1/keks')).body
  expect(items.map(({ id, state }: { id: string; state: string }) => [id, state])).toEqual([
    [before.id, 'retired'],
    [rotated.body.kek, 'active'],
  ])
})

test('a system that does not answer is said so, without what was tried', async () => {
  const answer = await server.get('/v1/systems/db/accounts')
  expect(answer.status).toBe(502)
  expect(answer.body.code).toBe('target_unreachable')
})

test('a challenge needs a rotation that waits for a report, and a wrong proof is refused', async () => {
  expect((await server.post('/v1/credentials/app-2/consumers/nobody/challenges')).status).toBe(404)
  expect((await server.post('/v1/credentials/app-2/consumers/app/challenges')).status).toBe(409)
  await server.post('/v1/rotations', { names: ['app-2'] })
  expect((await server.post('/v1/credentials/app-2/consumers/app/challenges')).status).toBe(409)
  const unknown = await server.post('/v1/challenges/00000000-0000-7000-8000-000000000000/answer', { proof: 'AAAA' })
  expect(unknown.status).toBe(422)
  expect(unknown.body.code).toBe('proof_refused')
})

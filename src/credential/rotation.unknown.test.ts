/** What is shown of values while a rotation moves: an answer from before the change says nothing of now. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { listVersions } from './inventory.list.ts'
import type { VersionView } from './model.ts'
import { resolveRotation, undoRotation } from './rotation.actions.ts'
import { type CredentialSpec, Engine } from './testing.ts'
import { listUsable } from './usable.ts'

let target: LabPostgres
let engine: Engine
let system: string
let look: (where: string) => Promise<void> = async () => undefined

beforeAll(async () => {
  target = await startPostgres({ fsync: false })
  engine = await Engine.start({ parts: { trap: (where) => look(where) } })
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('db', 'postgres', address, target.superuser)
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

async function credential(name: string, more: Partial<CredentialSpec> = {}): Promise<string> {
  for (const account of more.accounts ?? [name]) await target.query(`create role ${account} login password 'in-use'`)
  const spec = { name, strategy: 'in-place', accounts: [name], current: Secret.fromText('in-use'), ...more } as const
  return engine.addCredential(system, { ...spec, consumers: [{ name: 'web', activation: 'report' }] })
}

/** What is shown of each version, by its number. */
async function shown(id: string): Promise<Record<number, string>> {
  const text = ({ lastProbe, unknownSince }: Pick<VersionView, 'lastProbe' | 'unknownSince'>) =>
    `${unknownSince === null ? '' : 'unknown, '}${lastProbe?.outcome ?? 'never'}`
  const versions = await listVersions(engine.db.store, id)
  const { items: usable } = await listUsable(engine.db.store, engine.ctx, allowed(engine.ctx, 'usable:read'), { limit: 1_000 })
  for (const version of versions) {
    const same = usable.find(({ credential: name, number }) => name === names.get(id) && number === version.number)
    if (same !== undefined) expect(text(same)).toBe(text(version))
  }
  return Object.fromEntries(versions.map((version) => [version.number, text(version)]))
}
const names = new Map<string, string>()

/** Rotates until the consumer is waited for; resolves with what was shown on the way. */
async function rotate(name: string, id: string): Promise<{ rotation: string; seen: Record<string, Record<number, string>> }> {
  names.set(id, name)
  const seen: Record<string, Record<number, string>> = {}
  look = async (where) => {
    if (where === 'before_install' || where === 'after_install' || where === 'after_retire') seen[where] = await shown(id)
  }
  const [rotation = ''] = await engine.rotate([name])
  await engine.until(rotation, ({ state }) => state === 'distributed')
  return { rotation, seen }
}

const goOn = (id: string) =>
  resolveRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:resolve'), id, {
    kind: 'override-activation',
    by: 'somebody',
    reason: 'test',
  })

test('in place: from the call on the old value is unknown, and then it is what it was answered after it', async () => {
  const id = await credential('in_place')
  const { rotation, seen } = await rotate('in_place', id)
  expect(seen.before_install).toEqual({ 1: 'unknown, accepted', 2: 'unknown, never' })
  expect(seen.after_install).toEqual({ 1: 'unknown, accepted', 2: 'unknown, never' })
  expect(await shown(id)).toEqual({ 1: 'refused', 2: 'accepted' })
  await goOn(rotation)
  // What was answered before the change is on record too, or nothing could be proven.
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
  expect(await shown(id)).toEqual({ 1: 'refused', 2: 'accepted' })
})

test('a value that was accepted long ago is tried again before the change: one that is refused by then proves nothing', async () => {
  const id = await credential('restored')
  const first = await rotate('restored', id)
  await goOn(first.rotation)
  expect((await engine.finished(first.rotation)).state).toBe('proven_dead')
  // As after a restore of Rekey's database from a backup: the account has a value that it does not know.
  await target.query("alter role restored password 'of-a-rotation-that-is-forgotten'")
  await engine.db.store.query(
    `update version set last_probe = jsonb_set(last_probe, '{at}', to_jsonb($2::text)) where credential_id = $1 and state = 'current'`,
    [id, new Date(engine.ctx.clock.now().getTime() - 3_600_000).toISOString()],
  )
  const second = await rotate('restored', id)
  await goOn(second.rotation)
  const ended = await engine.finished(second.rotation)
  expect(ended.state).toBe('not_provable')
  expect(JSON.stringify(ended)).toContain('was not accepted before the change')
})

test('in place, undone: the old value is answered again', async () => {
  const id = await credential('put_back')
  const { rotation } = await rotate('put_back', id)
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), rotation, 'test')
  expect((await engine.finished(rotation)).state).toBe('undone')
  expect(await shown(id)).toEqual({ 1: 'accepted', 2: 'refused' })
  const again = await rotate('put_back', id)
  await goOn(again.rotation)
  expect((await engine.finished(again.rotation)).state).toBe('proven_dead')
})

test('of a pair the old value is known until its retirement begins', async () => {
  const id = await credential('pair', { strategy: 'alternating', accounts: ['pair_a', 'pair_b'] })
  const { rotation, seen } = await rotate('pair', id)
  expect(seen.after_install).toEqual({ 1: 'accepted', 2: 'unknown, never' })
  expect(await shown(id)).toEqual({ 1: 'accepted', 2: 'accepted' })
  await goOn(rotation)
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
  expect(seen.after_retire).toMatchObject({ 1: 'unknown, accepted' })
})

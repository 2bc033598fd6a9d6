import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import type { Target } from '../connectors/contract.ts'
import { connectorFor } from '../connectors/registry.ts'
import { Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { setRoot } from './inventory.root.ts'
import { retryRotation, undoRotation } from './rotation.actions.ts'
import { acceptServer } from './server.accept.ts'
import { Engine } from './testing.ts'

/** Two servers, as after a move: the system's address names first the one, then the other. */
let before: LabPostgres
let after: LabPostgres
let engine: Engine

beforeAll(async () => {
  ;[before, after, engine] = await Promise.all([startPostgres({ fsync: false }), startPostgres({ fsync: false }), Engine.start()])
  for (const server of [before, after])
    for (const root of ['rekey_root', 'other_root', 'third_root'])
      await server.query(`create role ${root} login superuser password 'root-value'`)
})
afterAll(async () => {
  await engine.stop()
  await Promise.all([before.stop(), after.stop()])
})

async function makeSystem(name: string, account = 'rekey_root'): Promise<string> {
  const address = { host: before.host, port: before.port, database: 'postgres', tls: 'off' } as const
  return engine.addSystem(name, 'postgres', address, { account, secret: Secret.fromText('root-value') })
}
const accept = (name: string) =>
  acceptServer(engine.parts, engine.ctx, allowed(engine.ctx, 'system:accept-server'), name, { reason: 'moved', apart: false })
const move = (system: string, to: LabPostgres) => engine.db.store.query('update system set port = $2 where id = $1', [system, to.port])

/** What a server says to a value, without Rekey's own records. */
async function says(server: LabPostgres, account: string, value: string): Promise<string> {
  const address = { host: server.host, port: server.port, database: 'postgres', tls: 'off' } as const
  const spec = { name: 'x', address, rootAccount: account, rootSecrets: [], timeoutMs: 5_000, concurrent: 1 }
  const way: Target = connectorFor('postgres').open(spec)
  const { outcome } = await way.probe(engine.ctx, account, Secret.fromText(value))
  await way.close()
  return outcome
}

test('a value that was accepted at the address before is not proven dead by the refusal of another server', async () => {
  const system = await makeSystem('moved')
  await before.query("create role app login password 'declared'")
  await after.query("create role app login password 'of another server'")
  await engine.addCredential(system, { name: 'app', strategy: 'in-place', accounts: ['app'], current: Secret.fromText('declared') })
  // Tried and taken over at the first server, and then rotated there.
  const [first = ''] = await engine.rotate(['app'])
  expect((await engine.finished(first)).state).toBe('proven_dead')
  await move(system, after)
  // Nobody said yet that the server there is meant.
  const [early = ''] = await engine.rotate(['app'])
  expect(await engine.finished(early)).toMatchObject({ state: 'blocked', blockedFrom: 'planned' })
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), early, 'another server')
  expect(await accept('moved')).toMatchObject({ changed: true })
  expect(await accept('moved')).toMatchObject({ changed: false })
  const [second = ''] = await engine.rotate(['app'])
  const view = await engine.finished(second)
  expect(view.state).toBe('not_provable')
  expect(view.reason).toContain('not accepted before the change (refused)')
  // At the new address it counts from there.
  const [third = ''] = await engine.rotate(['app'])
  expect((await engine.finished(third)).state).toBe('proven_dead')
})

test('an address that changes between install and proof: nothing is proven of the old value', async () => {
  const system = await makeSystem('halfway', 'third_root')
  for (const server of [before, after]) await server.query("create role half login password 'declared'")
  await engine.addCredential(system, {
    name: 'half',
    strategy: 'in-place',
    accounts: ['half'],
    current: Secret.fromText('declared'),
    consumers: [{ name: 'web', activation: 'report' }],
  })
  const [id = ''] = await engine.rotate(['half'])
  await engine.until(id, (view) => view.state === 'distributed')
  await move(system, after)
  // The new server was restored from the first: it has the new value too.
  const [{ rolpassword } = { rolpassword: '' }] = await before.query<{ rolpassword: string }>(
    "select rolpassword from pg_authid where rolname = 'half'",
  )
  await after.query(`alter role half password '${rolpassword}'`)
  await engine.db.store.query('update rotation set activation_override = \'{"by":"t","reason":"t"}\', due_at = now() where id = $1', [id])
  expect(await engine.finished(id)).toMatchObject({ state: 'blocked', reason: expect.stringContaining('Another server') })
  await accept('halfway')
  await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)
  expect((await engine.finished(id)).state).toBe('not_provable')
})

test('a root value that worked at the address before is not dead because another server refuses it', async () => {
  const system = await makeSystem('root-moved', 'other_root')
  const may = allowed(engine.ctx, 'system:set-root')
  await before.query("alter role other_root password 'changed by hand'")
  await setRoot(engine.parts, engine.ctx, may, 'root-moved', Secret.fromText('changed by hand'))
  await after.query("alter role other_root password 'of another server'")
  await move(system, after)
  const other = setRoot(engine.parts, engine.ctx, may, 'root-moved', Secret.fromText('of another server'))
  await expect(other).rejects.toMatchObject({ code: 'target_conflict' })
  // The server there does not take the stored value, so it cannot say which one it is.
  expect(await accept('root-moved')).toMatchObject({ changed: true, after: null })
  const set = await setRoot(engine.parts, engine.ctx, may, 'root-moved', Secret.fromText('of another server'))
  expect(set.old).toBe('unprovable')
  expect(await says(before, 'other_root', 'changed by hand')).toBe('accepted')
})

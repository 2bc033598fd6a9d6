import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabMariadb, startMariadb } from '../../test/lab/mariadb.ts'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { type RekeyError, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { fsckCredentials } from './fsck.ts'
import { type Applied, applyInventory, diffInventory } from './inventory.actions.ts'
import { findCredential } from './inventory.list.ts'
import { undoRotation } from './rotation.actions.ts'
import { Engine } from './testing.ts'

let target: LabPostgres
let other: LabMariadb | null
let engine: Engine
beforeAll(async () => {
  ;[target, other, engine] = await Promise.all([startPostgres({ fsync: false }), startMariadb(), Engine.start()])
})
afterAll(async () => {
  await engine.stop()
  await Promise.all([target.stop(), other?.stop()])
})

interface Wanted {
  readonly name: string
  readonly system: string
  readonly accounts: readonly string[]
  readonly strategy: string
  readonly known?: boolean
}

/** Applies the credentials; the value of each is `in use`. */
async function apply(wanted: readonly Wanted[], prune = false): Promise<Applied> {
  const servers = [
    { name: 'pg', connector: 'postgres', server: target, database: 'postgres' },
    ...(other === null ? [] : [{ name: 'maria', connector: 'mariadb', server: other, database: undefined }]),
  ]
  const systems = servers.map(({ name, connector, server, database }) => {
    const root = { account: server.superuser.account, secret: { prompt: true } }
    return { name, connector, address: { host: server.host, port: server.port, database, tls: 'off' }, root }
  })
  const credentials = wanted.map(({ name, system, accounts, strategy, known }) => ({
    name,
    system,
    strategy,
    identity: 'app',
    ...(strategy === 'alternating' ? { accounts } : { account: accounts[0] }),
    ...(known === false ? {} : { current: { prompt: true } }),
  }))
  const identities = [{ name: 'app', kind: 'workload', owner: 'team', purpose: 'test', environment: 'test' }]
  const text = JSON.stringify({ version: 1, systems, identities, credentials })
  const { parts, ctx } = engine
  const { digest, needed } = await diffInventory(parts, ctx, allowed(ctx, 'inventory:read'), { text, folder: '/srv' })
  const roots = new Map(servers.map(({ name, server }) => [`system:${name}`, server.superuser.secret]))
  const secrets = new Map(needed.map((one) => [one.for, roots.get(one.for) ?? Secret.fromText('in use')]))
  const input = { text, folder: '/srv', digest, prune, secrets, authorities: new Map<string, string>() }
  return applyInventory(parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), input)
}

const refusal = (doing: Promise<unknown>): Promise<RekeyError> =>
  doing.then(
    () => expect.unreachable('it was not refused'),
    (error: RekeyError) => error,
  )

async function undone(name: string): Promise<void> {
  const [rotation = ''] = await engine.rotate([name])
  expect((await engine.finished(rotation)).state).toBe('blocked')
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), rotation, 'mistyped')
  expect((await engine.until(rotation, (view) => view.state !== 'undoing')).state).toBe('undone')
}

test('a mistyped account is corrected once its system said that it does not exist, and the rotation is proven then', async () => {
  await target.query("create role orders_api login password 'in use'")
  const wanted = { name: 'orders', system: 'pg', strategy: 'in-place' }
  await apply([{ ...wanted, accounts: ['orders_apii'] }])
  expect((await refusal(apply([{ ...wanted, accounts: ['orders_api'] }]))).faults?.[0]?.message).toContain('accounts cannot change')
  await undone('orders')
  expect((await apply([{ ...wanted, accounts: ['orders_api'] }])).applied.change).toBe(1)
  expect(await findCredential(engine.db.store, 'orders')).toMatchObject({ accounts: ['orders_api'], currentKnown: true })
  const [again = ''] = await engine.rotate(['orders'])
  expect((await engine.finished(again)).state).toBe('proven_dead')
  // Now a value lives there: the account stays what it is.
  expect((await refusal(apply([{ ...wanted, accounts: ['orders_apii'] }]))).faults?.[0]?.message).toContain('accounts cannot change')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('of a pair, only the mistyped account may go', async () => {
  await target.query("create role pair_a login password 'in use'; create role pair_b login")
  const wanted = { name: 'pair', system: 'pg', strategy: 'alternating' }
  const orders = { name: 'orders', system: 'pg', strategy: 'in-place', accounts: ['orders_api'] }
  await apply([orders, { ...wanted, accounts: ['pair_a', 'pair_bb'] }])
  await undone('pair')
  expect((await refusal(apply([orders, { ...wanted, accounts: ['pair_b', 'pair_bb'] }]))).faults?.[0]?.message).toContain('accounts cannot')
  await apply([orders, { ...wanted, accounts: ['pair_a', 'pair_b'] }])
  const [again = ''] = await engine.rotate(['pair'])
  expect((await engine.finished(again)).state).toBe('proven_dead')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('on MariaDB too, where another account of that name answers the logins, and it can be pruned', async () => {
  if (other === null) return
  await other.query("create user local_only@localhost identified by 'another value'")
  const rest = [
    { name: 'orders', system: 'pg', strategy: 'in-place', accounts: ['orders_api'] },
    { name: 'pair', system: 'pg', strategy: 'alternating', accounts: ['pair_a', 'pair_b'] },
  ]
  const wanted = { name: 'local', system: 'maria', strategy: 'in-place', known: false }
  await apply([...rest, { ...wanted, accounts: ['local_only'] }])
  await undone('local')
  const local = { ...wanted, accounts: ['local_only@localhost'] }
  await apply([...rest, local])
  await apply([...rest, local, { ...wanted, name: 'second', known: true, accounts: ['local_only'] }])
  await undone('second')
  const { applied } = await apply([...rest, local], true)
  expect(applied.removed).toBe(1)
  expect(await findCredential(engine.db.store, 'second')).toBeNull()
})

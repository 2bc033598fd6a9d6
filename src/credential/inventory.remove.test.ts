import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { makeCtx, type RekeyError, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { type Applied, applyInventory, diffInventory } from './inventory.actions.ts'
import { decommissionSystem } from './inventory.decommission.ts'
import { discoverAccounts, findCredential, listSystems, systemWarnings } from './inventory.list.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'remove')
const folder = '/srv/fleet'
let target: LabPostgres
let engine: Engine
beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ worker: false })])
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

/** The lab server as a system, and one credential for each account given; with `known: false` their values are not declared. */
async function apply(accounts: readonly string[], options: { prune?: boolean; known?: boolean; empty?: boolean } = {}): Promise<Applied> {
  const { host, port, superuser } = target
  const credentials = accounts.map((account) => ({
    name: `${account}@lab`,
    identity: account,
    system: 'lab',
    account,
    strategy: 'in-place',
    ...(options.known === false ? {} : { current: { prompt: true } }),
    consumers: [{ name: 'one', activation: 'none' }],
  }))
  const identities = accounts.map((name) => ({ name, kind: 'workload', owner: 'team', purpose: 'test', environment: 'test' }))
  const address = { host, port, database: 'postgres', tls: 'off' }
  const systems = [{ name: 'lab', connector: 'postgres', address, root: { account: superuser.account, secret: { prompt: true } } }]
  const text = JSON.stringify(options.empty ? { version: 1 } : { version: 1, systems, identities, credentials })
  const { digest, needed } = await diffInventory(engine.parts, ctx, allowed(ctx, 'inventory:read'), { text, folder })
  const secrets = new Map(needed.map((one) => [one.for, one.for.startsWith('system:') ? superuser.secret : Secret.fromText('in use')]))
  const input = { text, folder, digest, prune: options.prune ?? false, secrets, authorities: new Map<string, string>() }
  return applyInventory(engine.parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), input)
}

const makeRole = (name: string) => target.query(`create role ${name} login password 'in use'`)
const refusal = (doing: Promise<unknown>): Promise<RekeyError> =>
  doing.then(
    () => expect.unreachable('it was not refused'),
    (error: RekeyError) => error,
  )

test('accounts that exist and are not in the inventory are found', async () => {
  await makeRole('known_1')
  await makeRole('stranger_1')
  await apply(['known_1'])
  const found = await discoverAccounts(engine.parts, ctx, allowed(ctx, 'system:discover'), 'lab')
  expect(found).toContainEqual({ name: 'stranger_1', canLogin: true })
  expect(found.map(({ name }) => name)).not.toContain('known_1')
  expect(found.map(({ name }) => name)).not.toContain(target.superuser.account)
  const missing = await refusal(discoverAccounts(engine.parts, ctx, allowed(ctx, 'system:discover'), 'nowhere'))
  expect(missing.code).toBe('not_found')
})

test('a credential whose account exists is never pruned, and nothing else is then', async () => {
  await makeRole('gone_2')
  await makeRole('alive_2')
  await apply(['gone_2', 'alive_2'])
  await target.query('drop role gone_2')
  const error = await refusal(apply(['known_1'], { prune: true }))
  expect(error.code).toBe('conflict')
  expect(error.faults).toEqual([{ path: 'alive_2@lab', message: 'alive_2@lab cannot be removed: the account alive_2 is still there.' }])
  expect(await findCredential(engine.db.store, 'gone_2@lab')).not.toBeNull()
  await target.query('alter role alive_2 nologin')
  expect((await refusal(apply(['known_1'], { prune: true }))).code).toBe('conflict')
  await target.query('drop role alive_2')
  const { applied } = await apply(['known_1'], { prune: true })
  // Two credentials with a consumer each, two identities.
  expect(applied).toEqual({ add: 0, change: 0, removed: 6 })
  expect(await findCredential(engine.db.store, 'gone_2@lab')).toBeNull()
  const proofs = await engine.db.store.query<{ proof: unknown }>(
    `select body::jsonb -> 'data' -> 'proof' as proof from evidence_event
      where body::jsonb ->> 'type' = 'credential.removed' order by subject`,
  )
  expect(proofs).toMatchObject([
    { proof: { accountsGone: ['alive_2'], probes: [{ version: 1, outcome: 'refused' }] } },
    { proof: { accountsGone: ['gone_2'], probes: [{ version: 1, outcome: 'refused' }] } },
  ])
})

test('a value that nobody told Rekey does not stand in the way when its account is gone', async () => {
  await makeRole('unknown_3')
  await apply(['known_1', 'unknown_3'], { known: false })
  await target.query('drop role unknown_3')
  expect((await apply(['known_1'], { prune: true })).applied.removed).toBe(3)
})

test('a declared account that does not exist is warned of', async () => {
  await apply(['known_1', 'mistyped_1'])
  const warnings = await systemWarnings(engine.parts, ctx, allowed(ctx, 'system:discover'), 'lab')
  expect(warnings).toEqual(['The account mistyped_1 is declared and does not exist on the system.'])
  expect((await apply(['known_1'], { prune: true })).applied.removed).toBe(3)
})

test('a removed consumer goes alone', async () => {
  await engine.db.store.query(
    `insert into consumer (id, credential_id, name, activation)
     select gen_random_uuid(), id, 'late', 'none' from credential where name = 'known_1@lab'`,
  )
  expect((await apply(['known_1'], { prune: true })).applied.removed).toBe(1)
  expect(await engine.db.store.query("select name from consumer where name = 'late'")).toEqual([])
})

test('a rotation that has begun keeps its credential', async () => {
  await makeRole('busy_4')
  await apply(['known_1', 'busy_4'])
  const [rotation] = await engine.rotate(['busy_4@lab'])
  await target.query('drop role busy_4')
  const error = await refusal(apply(['known_1'], { prune: true }))
  expect(error.faults).toEqual([
    { path: 'busy_4@lab', message: expect.stringMatching(/^busy_4@lab cannot be removed: a rotation is under way \(/) },
  ])
  await engine.db.store.query("update rotation set ended_at = now(), state = 'undone', due_at = null where id = $1", [rotation])
  expect((await apply(['known_1'], { prune: true })).applied.removed).toBe(3)
})

test('a system that does not answer proves nothing', async () => {
  await target.query('drop role known_1')
  await engine.parts.targets.close(ctx)
  await engine.db.store.query('update system set port = 1')
  const error = await refusal(apply([], { prune: true, empty: true }))
  expect(error.faults?.[0]?.message).toMatch(/^known_1@lab cannot be removed: lab could not be asked:/)
  await engine.db.store.query('update system set port = $1', [target.port])
})

test('a system goes with its declared root value, but not when only Rekey knows the value', async () => {
  await engine.db.store.query(
    "update version v set installed_at = now() from credential c where c.id = v.credential_id and c.name = 'root@lab'",
  )
  const error = await refusal(apply([], { prune: true, empty: true }))
  expect(error.faults).toEqual([
    { path: 'lab', message: 'The system lab cannot be removed: Rekey holds the only copy of its root secret.' },
  ])
  expect(await findCredential(engine.db.store, 'known_1@lab')).not.toBeNull()
  await engine.db.store.query('update version set installed_at = null')
  await apply([], { prune: true, empty: true })
  expect(await listSystems(engine.db.store)).toEqual([])
  expect(await findCredential(engine.db.store, 'root@lab')).toBeNull()
})

test('a decommissioned system takes nothing new, and goes although only Rekey knew its root value', async () => {
  await apply([])
  await engine.db.store.query('update version set installed_at = now()')
  expect((await refusal(apply([], { prune: true, empty: true }))).faults?.[0]?.message).toContain('the only copy')
  const may = allowed(ctx, 'system:decommission')
  expect(await decommissionSystem(engine.parts, ctx, may, 'lab', { reason: 'scrapped', unprovable: false })).toMatchObject({
    notProvable: 0,
  })
  const added = await refusal(apply(['late_9']))
  expect(added.faults).toEqual([{ path: 'late_9@lab', line: 1, message: 'credential late_9@lab: the system lab is decommissioned.' }])
  await apply([], { prune: true, empty: true })
  expect(await listSystems(engine.db.store)).toEqual([])
  await apply([])
  expect(await listSystems(engine.db.store)).toMatchObject([{ name: 'lab', decommissionedAt: null }])
})

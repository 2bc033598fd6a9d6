import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAY_MOUNT, mount, unmount } from '../../test/lab/mounts.ts'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import type { Connector, InstallOrder } from '../connectors/contract.ts'
import { connectorFor } from '../connectors/registry.ts'
import { RekeyError, Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { fsckCredentials } from './fsck.ts'
import { listVersions } from './inventory.list.ts'
import { retryRotation, undoRotation } from './rotation.actions.ts'
import { type CredentialSpec, Engine } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string
/** What the system of an account says to an install, in turn; none of the laboratory's systems judges a verifier by itself. */
const answers = new Map<string, ('policy' | 'lost')[]>()

async function answer(order: InstallOrder, install: () => Promise<{ mark: string }>): Promise<{ mark: string }> {
  const next = answers.get(order.account)?.shift()
  if (next === 'policy') throw new RekeyError('target_refused_by_policy', 'The system refused the value by its policy.')
  const done = await install()
  if (next === 'lost') throw new RekeyError('target_unreachable', 'No answer came.')
  return done
}

function moody(name: string): Connector {
  const real = connectorFor(name)
  return {
    describe: () => real.describe(),
    checkAccount: (account) => real.checkAccount(account),
    open: (spec) => {
      const open = real.open(spec)
      const install = open.install.bind(open)
      open.install = (ctx, order) => answer(order, () => install(ctx, order))
      return open
    },
  }
}

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start({ connector: moody })])
  const root = { account: target.superuser.account, secret: target.superuser.secret }
  system = await engine.addSystem('db', 'postgres', { host: target.host, port: target.port, database: 'postgres', tls: 'off' }, root)
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

async function credential(name: string, more: Partial<CredentialSpec> = {}): Promise<string> {
  for (const account of more.accounts ?? [name]) await target.query(`create role ${account} login password 'in-use'`)
  return engine.addCredential(system, { name, strategy: 'in-place', accounts: [name], current: Secret.fromText('in-use'), ...more })
}

const undo = (id: string) => undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), id, 'test')
const undone = async (id: string) => {
  await undo(id)
  return engine.until(id, (view) => view.endedAt !== null)
}
const shown = async (id: string) =>
  (await listVersions(engine.db.store, id)).map(({ state, lastProbe }) => [state, lastProbe?.outcome ?? null])
/** What the system says to the value that the account had at first. */
const takesFirst = async (account: string) => {
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  const spec = { name: 'db', address, rootAccount: account, rootSecrets: [], timeoutMs: 5_000, concurrent: 1 }
  const way = connectorFor('postgres').open(spec)
  const { outcome } = await way.probe(engine.ctx, account, Secret.fromText('in-use'))
  await way.close()
  return outcome
}

test('an account that does not exist: the system itself says so, and the undo ends, with the value known or not', async () => {
  for (const [name, current] of [
    ['nobody_1', Secret.fromText('in-use')],
    ['nobody_2', null],
  ] as const) {
    const id = await engine.addCredential(system, { name, strategy: 'in-place', accounts: [name], current })
    const [rotation = ''] = await engine.rotate([name])
    expect(await engine.finished(rotation)).toMatchObject({ state: 'blocked', blockedFrom: 'staged' })
    const view = await undone(rotation)
    expect(view).toMatchObject({ state: 'undone', reason: `undone: the account ${name} does not exist on the system` })
    expect(await shown(id)).toEqual([
      ['void', 'refused'],
      ['current', 'refused'],
    ])
  }
})

test('where the account is made afterwards, its value is tried anew and its death proven', async () => {
  await target.query("create role nobody_1 login password 'in-use'")
  const [rotation = ''] = await engine.rotate(['nobody_1'])
  expect((await engine.finished(rotation)).state).toBe('proven_dead')
})

test('a takeover is given up before anything was installed, and cannot be after', async () => {
  answers.set('early', ['policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy'])
  await credential('early', { current: null })
  const [early = ''] = await engine.rotate(['early'])
  expect((await engine.finished(early)).state).toBe('blocked')
  expect(await undone(early)).toMatchObject({ state: 'undone', reason: expect.stringContaining('left as it was') })
  expect(await takesFirst('early')).toBe('accepted')
  answers.set('tardy', ['lost', 'policy', 'policy', 'policy'])
  await credential('tardy', { current: null })
  const [tardy = ''] = await engine.rotate(['tardy'])
  expect((await engine.finished(tardy)).state).toBe('blocked')
  await undo(tardy)
  const refused = await engine.until(tardy, (view) => view.state === 'blocked')
  expect(refused).toMatchObject({ blockedFrom: 'staged', reason: expect.stringContaining('installed already') })
  answers.delete('tardy')
  await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), tardy)
  expect(await engine.finished(tardy)).toMatchObject({ state: 'not_provable', newVersion: 2 })
})

test('undone while consumers are waited for: the new value was seen refused, the old one accepted', async () => {
  const id = await credential('waiting', { consumers: [{ name: 'never', activation: 'session' }] })
  const [rotation = ''] = await engine.rotate(['waiting'])
  await engine.until(rotation, (view) => view.state === 'distributed')
  expect(await shown(id)).toEqual([
    ['current', 'accepted'],
    ['previous', 'refused'],
  ])
  expect((await undone(rotation)).state).toBe('undone')
  expect(await shown(id)).toEqual([
    ['void', 'refused'],
    ['current', 'accepted'],
  ])
})

test('undone in the grace period, of a pair', async () => {
  const id = await credential('pair', { strategy: 'alternating', accounts: ['pair_a', 'pair_b'], graceSeconds: 3600 })
  const [rotation = ''] = await engine.rotate(['pair'])
  await engine.until(rotation, (view) => view.state === 'activated')
  expect((await undone(rotation)).state).toBe('undone')
  expect(await shown(id)).toEqual([
    ['void', 'refused'],
    ['current', 'accepted'],
  ])
})

test('undone when the policy refuses every value: none of them was ever seen accepted', async () => {
  answers.set('strict', ['policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy'])
  const id = await credential('strict')
  const [rotation = ''] = await engine.rotate(['strict'])
  expect((await engine.finished(rotation)).state).toBe('blocked')
  answers.delete('strict')
  expect((await undone(rotation)).state).toBe('undone')
  expect(await shown(id)).toEqual([...Array(4).fill(['void', 'refused']), ['current', 'accepted']])
})

test('an undo before the install leaves account and files alone where the declared value never worked', async () => {
  answers.set('wrong', ['policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy', 'policy'])
  const path = join(engine.folder, 'wrong.secret')
  writeFileSync(path, 'in-use\n')
  const id = await credential('wrong', {
    current: Secret.fromText('declared by mistake'),
    consumers: [{ name: 'one', path, activation: 'none' }],
  })
  const [rotation = ''] = await engine.rotate(['wrong'])
  expect((await engine.finished(rotation)).state).toBe('blocked')
  answers.delete('wrong')
  expect(await undone(rotation)).toMatchObject({ state: 'undone', reason: expect.stringContaining('left as it was') })
  expect(await takesFirst('wrong')).toBe('accepted')
  expect(readFileSync(path, 'utf8')).toBe('in-use\n')
  expect(await shown(id)).toEqual([...Array(4).fill(['void', 'refused']), ['current', 'refused']])
})

test('a value that an unanswered try installed is not thrown away because the policy refuses it the second time', async () => {
  answers.set('twice', ['lost', 'policy', 'policy', 'policy'])
  const id = await credential('twice')
  const [rotation = ''] = await engine.rotate(['twice'])
  const view = await engine.finished(rotation)
  expect(view).toMatchObject({ state: 'blocked', blockedFrom: 'staged', reason: expect.stringContaining('accepted') })
  expect(await shown(id)).toEqual([
    ['staged', 'accepted'],
    ['current', 'accepted'],
  ])
  answers.delete('twice')
  await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), rotation)
  expect(await engine.finished(rotation)).toMatchObject({ state: 'proven_dead', newVersion: 2 })
})

test('an undo that cannot write a file says so, and ends when it can', async () => {
  const folder = join(engine.folder, 'late')
  const id = await credential('late', { consumers: [{ name: 'one', path: join(folder, 'late.secret'), activation: 'none' }] })
  const [rotation = ''] = await engine.rotate(['late'])
  await engine.until(rotation, (view) => view.tries > 1)
  await undo(rotation)
  await engine.until(rotation, (view) => view.state === 'undoing' && view.tries > 1)
  mkdirSync(folder)
  expect((await engine.until(rotation, (view) => view.endedAt !== null)).state).toBe('undone')
  expect(await shown(id)).toEqual([
    ['void', 'refused'],
    ['current', 'accepted'],
  ])
})

test.skipIf(!MAY_MOUNT)('in-place: a file that is a mount point blocks before the account is touched, until it is none', async () => {
  const path = join(engine.folder, 'bound.secret')
  for (const name of [path, `${path}.host`]) writeFileSync(name, 'in-use\n')
  mount('--bind', `${path}.host`, path)
  try {
    const id = await credential('bound', { consumers: [{ name: 'one', path, activation: 'none' }] })
    const [rotation = ''] = await engine.rotate(['bound'])
    const view = await engine.finished(rotation)
    expect(view).toMatchObject({ state: 'blocked', blockedFrom: 'staged', installedAt: null })
    expect(view.reason).toBe(`The file is a mount point, over which no new file can be put: ${path}`)
    expect(view.hint).toContain('Mount the folder')
    expect(await shown(id)).toEqual([
      ['staged', null],
      ['current', 'accepted'],
    ])
    expect(readFileSync(path, 'utf8')).toBe('in-use\n')
    unmount(path)
    await retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), rotation)
    expect(await engine.finished(rotation)).toMatchObject({ state: 'proven_dead', newVersion: 2 })
  } finally {
    unmount(path)
  }
})

test('evidence and tables agree on all of it', async () => {
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

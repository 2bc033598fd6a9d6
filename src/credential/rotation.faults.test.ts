import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectorFor } from '../connectors/registry.ts'
import { Secret, silentLog } from '../kernel/index.ts'
import { fileKeks, Keyring, rotateKek } from '../keys/index.ts'
import { allowed } from '../policy/testing.ts'
import { fsckCredentials } from './fsck.ts'
import { rewrapCredentials } from './rewrap.ts'
import { undoRotation } from './rotation.actions.ts'
import { Engine } from './testing.ts'

let engine: Engine
beforeEach(async () => {
  engine = await Engine.start()
})
afterEach(() => engine.stop())

/** Starts a rotation on a system that is not there. */
async function rotationAt(host: string): Promise<string> {
  const root = { account: 'root', secret: Secret.fromText('value of root') }
  const system = await engine.addSystem('s', 'postgres', { host, port: 9, tls: 'off' }, root)
  await engine.addCredential(system, { name: 'c', strategy: 'in-place', accounts: ['c'], current: Secret.fromText('value of c') })
  const [rotation = ''] = await engine.rotate(['c'])
  return rotation
}

test('a system that Rekey does not connect to blocks before anything is made, says why, and can be undone', async () => {
  const rotation = await rotationAt('169.254.169.254')
  expect(await engine.finished(rotation, 15_000)).toMatchObject({
    state: 'blocked',
    blockedFrom: 'planned',
    newVersion: null,
    reason: expect.stringContaining('does not connect to 169.254.169.254'),
    hint: expect.stringContaining('REKEY_REFUSE_NETWORKS'),
  })
  await undoRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:undo'), rotation, 'test')
  expect((await engine.finished(rotation)).state).toBe('undone')
  expect(await fsckCredentials(engine.db.store)).toEqual([])
})

test('a name that does not resolve is told, and tried again with pauses', async () => {
  const rotation = await rotationAt('no-such-host.invalid')
  const view = await engine.until(rotation, ({ tries }) => tries > 1, 15_000)
  expect(view).toMatchObject({ state: 'planned', reason: 'The name no-such-host.invalid does not resolve.' })
})

test('without its key-encryption key a rotation waits and says so, uses up no try, and goes on when the key is there', async () => {
  const folder = join(engine.folder, 'kek')
  const other = new Keyring([fileKeks(folder)])
  await other.start(engine.db.store)
  const root = { account: 'root', secret: Secret.fromText('value of root') }
  const system = await engine.addSystem('s', 'postgres', { host: '127.0.0.1', port: 9, tls: 'off' }, root)
  await engine.addCredential(system, { name: 'c', strategy: 'in-place', accounts: ['c'], current: Secret.fromText('value of c') })
  await rotateKek({ store: engine.db.store, keyring: other, areas: [rewrapCredentials] }, engine.ctx, { fresh: true })
  const [file = ''] = readdirSync(folder)
  renameSync(join(folder, file), join(engine.folder, file))
  const [rotation = ''] = await engine.rotate(['c'])
  const waiting = await engine.until(rotation, ({ reason }) => reason !== null, 15_000)
  expect(waiting).toMatchObject({ state: 'planned', tries: 0, reason: expect.stringContaining('key file is missing') })
  renameSync(join(engine.folder, file), join(folder, file))
  expect(await engine.until(rotation, ({ tries }) => tries > 0, 15_000)).toMatchObject({ state: 'staged' })
})

test('of an error that is not ours the log gets its class and where it was thrown, and nothing of its message', async () => {
  const lines: Record<string, unknown>[] = []
  const log = { ...silentLog, warn: (fields: Record<string, unknown>) => void lines.push(fields) }
  let declared = false
  const broken = await Engine.start({
    log,
    connector: (name) => {
      if (!declared) return connectorFor(name)
      throw new TypeError('canary-7719\n    at canary-7719 (file:///app/x.js:1:1)')
    },
  })
  try {
    const system = await broken.addSystem(
      's',
      'postgres',
      { host: '127.0.0.1', port: 9, tls: 'off' },
      { account: 'r', secret: Secret.fromText('r') },
    )
    await broken.addCredential(system, { name: 'c', strategy: 'in-place', accounts: ['c'], current: Secret.fromText('value of c') })
    declared = true
    const [rotation = ''] = await broken.rotate(['c'])
    await broken.until(rotation, ({ tries }) => tries > 0, 15_000)
    const told = lines.find(({ code }) => code === 'internal')
    expect(told?.detail).toMatch(/^TypeError\n.*rotation\.faults\.test\.ts:\d+:\d+\n/)
    expect(JSON.stringify(lines)).not.toContain('canary-7719')
  } finally {
    await broken.stop()
  }
})

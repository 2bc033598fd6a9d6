/** A process that dies when everything is wrapped by the new key-encryption key and the old one is not yet destroyed. */
import { fork, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, linkSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { rewrapCredentials } from '../../src/credential/index.ts'
import { Engine } from '../../src/credential/testing.ts'
import { isCode, Secret } from '../../src/kernel/index.ts'
import { fileKeks, type KekSource, Keyring, listKeks, rotateKek } from '../../src/keys/index.ts'
import { Site } from '../e2e/kit.ts'
import type { KekOrders } from './kek.child.ts'

let engine: Engine
let folder: string
beforeEach(async () => {
  engine = await Engine.start({ worker: false })
  folder = join(engine.folder, 'kek')
  await engine.addSystem('s', 'postgres', { host: '127.0.0.1', port: 1, tls: 'off' }, { account: 'root', secret: Secret.fromText('root') })
})
afterEach(() => engine.stop())

async function dieBeforeDestroying(): Promise<void> {
  const orders: KekOrders = { connection: engine.db.connection, kek: folder }
  const { PATH } = process.env
  const child = fork(new URL('kek.child.ts', import.meta.url).pathname, {
    execArgv: [],
    env: { PATH, TZ: 'UTC' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.send(orders as unknown as Serializable)
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
  expect((await listKeks(engine.db.store)).map((kek) => kek.state)).toEqual(['retired', 'active'])
  expect(readdirSync(folder).filter((name) => name.endsWith('.key'))).toHaveLength(2)
}

async function active(): Promise<string | undefined> {
  return (await listKeks(engine.db.store)).find(({ state }) => state === 'active')?.id
}

test('the next start destroys the key that was left', async () => {
  const old = join(folder, `${engine.parts.keyring.activeId}.key`)
  // The same key under its other name, as a crash in the middle of making it leaves it.
  linkSync(old, `${old}.new`)
  await dieBeforeDestroying()
  expect(existsSync(`${old}.new`)).toBe(true)
  const { host, port, user, database } = engine.db.connection
  const site = new Site()
  try {
    const env = { REKEY_DATA: engine.folder, DATABASE_URL: `postgres://${user}@localhost:${port}/${database}?host=${host}` }
    expect((await site.serve(env)).url).not.toBeNull()
  } finally {
    await site.stop()
  }
  expect(readdirSync(folder)).toEqual([`${await active()}.key`])
})

test('so does the next rotation of the key, also one that makes no other key', async () => {
  await dieBeforeDestroying()
  const keyring = new Keyring([fileKeks(folder)])
  await keyring.start(engine.db.store)
  await rotateKek({ store: engine.db.store, keyring, areas: [rewrapCredentials] }, engine.ctx, { fresh: false })
  expect(readdirSync(folder)).toEqual([`${await active()}.key`])
})

test('a key that cannot be destroyed is named, and does not keep Rekey from starting', async () => {
  await dieBeforeDestroying()
  const [old] = await listKeks(engine.db.store)
  const stuck: KekSource = {
    ...fileKeks(folder),
    destroy: () => Promise.reject(new Error('read-only')),
  }
  const keyring = new Keyring([stuck])
  await keyring.start(engine.db.store)
  expect(await keyring.destroyRetired(engine.db.store)).toEqual([old?.id])
  const again = rotateKek({ store: engine.db.store, keyring, areas: [rewrapCredentials] }, engine.ctx, { fresh: false })
  await expect(again).rejects.toSatisfy((error) => isCode(error, 'kek_unavailable'))
})

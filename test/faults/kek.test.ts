/** A process that dies while it makes a key-encryption key, or when everything is wrapped by it and the old one is not yet destroyed. */
import { fork, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, linkSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rewrapCredentials } from '../../src/credential/index.ts'
import { Engine } from '../../src/credential/testing.ts'
import { isCode, Secret } from '../../src/kernel/index.ts'
import {
  fileKeks,
  findInstallationSecret,
  installationSecret,
  type KekSource,
  Keyring,
  kekFindings,
  listKeks,
  rotateKek,
} from '../../src/keys/index.ts'
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

async function dieAt(die: KekOrders['die'], first = false): Promise<void> {
  const orders: KekOrders = { connection: engine.db.connection, kek: folder, die, first }
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = fork(new URL('kek.child.ts', import.meta.url).pathname, {
    execArgv: [],
    env: { PATH, TZ: 'UTC', ...(NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE } : {}) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.send(orders as unknown as Serializable)
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
}

async function dieBeforeDestroying(): Promise<void> {
  await dieAt('destroying')
  expect((await listKeks(engine.db.store)).map((kek) => kek.state)).toEqual(['retired', 'active'])
  expect(readdirSync(folder).filter((name) => name.endsWith('.key'))).toHaveLength(2)
}

async function active(): Promise<string | undefined> {
  return (await listKeks(engine.db.store)).find(({ state }) => state === 'active')?.id
}

describe.each(['writing', 'created', 'committed'] as const)('a process that dies %s a key', (die) => {
  test('at the first start: the next one leaves one key, with its row, and no file that no row tells of', async () => {
    await engine.db.store.query('truncate kek cascade')
    rmSync(folder, { recursive: true })
    await dieAt(die, true)
    expect(readdirSync(folder)).toHaveLength(1)
    expect(await listKeks(engine.db.store)).toHaveLength(die === 'committed' ? 1 : 0)
    const keyring = new Keyring([fileKeks(folder)])
    await keyring.start(engine.db.store)
    expect(await listKeks(engine.db.store)).toMatchObject([{ id: keyring.activeId, state: 'active' }])
    expect(readdirSync(folder)).toEqual([`${keyring.activeId}.key`])
  })

  test('at a rotation of the key: the next start cleans up or goes on, what was wrapped opens, and the rotation can be done', async () => {
    const { store } = engine.db
    const seed = await installationSecret(store, engine.parts.keyring, 'some seed')
    const before = await active()
    await dieAt(die)
    expect(readdirSync(folder)).toHaveLength(2)
    const keyring = new Keyring([fileKeks(folder)])
    await keyring.start(store)
    const states = (await listKeks(store)).map(({ state }) => state)
    expect(states).toEqual(die === 'committed' ? ['retiring', 'active'] : ['active'])
    expect(keyring.activeId === before).toBe(die !== 'committed')
    expect(readdirSync(folder).sort()).toEqual((await listKeks(store)).map(({ id }) => `${id}.key`).sort())
    expect((await installationSecret(store, keyring, 'some seed')).equals(seed)).toBe(true)
    await rotateKek({ store, keyring, areas: [rewrapCredentials] }, engine.ctx, { fresh: die !== 'committed' })
    expect(readdirSync(folder)).toEqual([`${await active()}.key`])
    expect((await installationSecret(store, new Keyring([fileKeks(folder)]), 'some seed')).equals(seed)).toBe(true)
    expect(await kekFindings(store)).toEqual([])
  })

  test('a program that only reads opens what is there, and changes no file', async () => {
    await dieAt(die)
    const names = readdirSync(folder)
    const seed = await installationSecret(engine.db.store, engine.parts.keyring, 'some seed')
    expect((await findInstallationSecret(engine.db.store, new Keyring([fileKeks(folder)]), 'some seed'))?.equals(seed)).toBe(true)
    expect(readdirSync(folder)).toEqual(names)
  })
})

test('a start waits for a process that is making a key, and does not take its file away', async () => {
  const { store } = engine.db
  const made = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const files = fileKeks(folder)
  const slow = new Keyring([
    {
      ...files,
      create: async (id) => {
        const key = await files.create(id)
        made.resolve()
        await goOn.promise
        return key
      },
    },
  ])
  await slow.start(store)
  const rotated = rotateKek({ store, keyring: slow, areas: [rewrapCredentials] }, engine.ctx, { fresh: true })
  await made.promise
  const starting = new Keyring([files]).start(store)
  const waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted and objid = 7395003"
  await expect.poll(async () => (await store.query(waiting)).length).toBe(1)
  expect(readdirSync(folder).filter((name) => name.endsWith('.pending'))).toHaveLength(1)
  goOn.resolve()
  await Promise.all([rotated, starting])
  expect(readdirSync(folder)).toEqual([`${await active()}.key`])
})

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

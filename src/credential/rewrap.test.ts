import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeCtx, Secret } from '../kernel/index.ts'
import { fileKeks, type KekSource, Keyring, listKeks, rotateKek } from '../keys/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { applyInventory, diffInventory } from './inventory.actions.ts'
import { rewrapCredentials } from './rewrap.ts'
import { dataKeyBound } from './targets.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'rewrap')
const areas = [rewrapCredentials]

let engine: Engine
beforeEach(async () => {
  engine = await Engine.start({ worker: false })
})
afterEach(() => engine.stop())

/** The keyring of one more process. */
async function process(source: (files: KekSource) => KekSource = (files) => files): Promise<Keyring> {
  const keyring = new Keyring([source(fileKeks(join(engine.folder, 'kek')))])
  await keyring.start(engine.db.store)
  return keyring
}

/** Adds credentials to the inventory, up to so many, as a process with this keyring does. */
async function apply(keyring: Keyring, many: number): Promise<void> {
  const parts = { ...engine.parts, keyring }
  const address = { host: '127.0.0.1', tls: 'off' }
  const text = JSON.stringify({
    version: 1,
    systems: [{ name: 'db', connector: 'postgres', address, root: { account: 'root', secret: { file: 'root' } } }],
    identities: [{ name: 'api', kind: 'workload', owner: 'team', purpose: 'serves', environment: 'test' }],
    credentials: Array.from({ length: many }, (_, i) => {
      return { name: `c${i}`, identity: 'api', system: 'db', account: `a${i}`, strategy: 'in-place', current: { file: 'value' } }
    }),
  })
  const wanted = { text, folder: '/srv/fleet' }
  const { digest, needed } = await diffInventory(parts, ctx, allowed(ctx, 'inventory:read'), wanted)
  const secrets = new Map(needed.map((one) => [one.for, Secret.fromText(`value of ${one.for}`)]))
  const input = { ...wanted, digest, prune: false, secrets, authorities: new Map() }
  await applyInventory(parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), input)
}

/** Every data key opens with what a new process finds, and nothing is left of the keys before. */
async function allOpens(many: number): Promise<void> {
  const keyring = await process()
  const rows = await engine.db.store.query<{ id: string; kek_id: string; wrapped_key: Uint8Array }>(
    'select id, kek_id, wrapped_key from credential',
  )
  expect(rows).toHaveLength(many + 1)
  for (const row of rows) await keyring.unwrap(engine.db.store, row.kek_id, row.wrapped_key, dataKeyBound(row.id))
  expect(new Set(rows.map((row) => row.kek_id))).toEqual(new Set([keyring.activeId]))
  expect(readdirSync(join(engine.folder, 'kek'))).toEqual([`${keyring.activeId}.key`])
  expect((await listKeks(engine.db.store)).filter(({ state }) => state !== 'retired').map(({ id }) => id)).toEqual([keyring.activeId])
}

test('two processes rotate the key-encryption key at the same time, again and again, while a third writes credentials', async () => {
  const many = 24
  let done = false
  const rotate = async () => {
    const keyring = await process()
    while (!done) await rotateKek({ store: engine.db.store, keyring, areas }, ctx, { fresh: true })
  }
  const write = async () => {
    const keyring = await process()
    for (let i = 2; i <= many; i += 2) await apply(keyring, i)
    done = true
  }
  await Promise.all([write(), rotate(), rotate()])
  expect((await listKeks(engine.db.store)).length).toBeGreaterThan(4)
  await rotateKek({ store: engine.db.store, keyring: await process(), areas }, ctx, { fresh: false })
  await allOpens(many)
})

test('a key that was read long ago and comes late is not taken for the active one', async () => {
  const { store } = engine.db
  let second = ''
  const late = Promise.withResolvers<void>()
  const slow = await process((files) => ({
    ...files,
    async load(kek) {
      const key = await files.load(kek)
      if (kek.id === second) await late.promise
      else if (second !== '') setImmediate(() => late.resolve())
      return key
    },
  }))
  await apply(slow, 1)
  const other = await process()
  await rotateKek({ store, keyring: other, areas }, ctx, { fresh: true })
  second = other.activeId
  const finishing = rotateKek({ store, keyring: slow, areas }, ctx, { fresh: false })
  await pause(50)
  await rotateKek({ store, keyring: other, areas }, ctx, { fresh: true })
  await apply(slow, 4)
  await finishing
  await allOpens(4)
})

test('a data key that comes under the old key after everything was wrapped again is found before that key is destroyed', async () => {
  const { store } = engine.db
  await apply(engine.parts.keyring, 3)
  const [old, ring] = [engine.parts.keyring.activeId, await process()]
  let looked = 0
  /** As a process would that read the active key and did not hold it. */
  const late: typeof rewrapCredentials = async (tx, kek, limit, again) => {
    const count = await rewrapCredentials(tx, kek, limit, again)
    if (++looked > 1) return count
    const [row] = await tx.query<{ id: string; kek_id: string; wrapped_key: Uint8Array }>(
      "select id, kek_id, wrapped_key from credential where name = 'c1'",
    )
    if (row === undefined) throw new Error('there is no c1')
    const { wrapped } = ring.wrap(old, await ring.unwrap(tx, row.kek_id, row.wrapped_key, dataKeyBound(row.id)), dataKeyBound(row.id))
    await tx.query('update credential set kek_id = $2, wrapped_key = $3 where id = $1', [row.id, old, Buffer.from(wrapped)])
    return count
  }
  await rotateKek({ store, keyring: ring, areas: [late] }, ctx, { fresh: true })
  await allOpens(3)
})

/** Makes or rotates the key-encryption key in a process of its own, which dies where it is told to. */
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { rewrapCredentials } from '../../src/credential/index.ts'
import { makeCtx, silentLog } from '../../src/kernel/index.ts'
import { fileKeks, type KekSource, Keyring, rotateKek } from '../../src/keys/index.ts'
import { openStore } from '../../src/store/index.ts'

/** What the parent tells. */
export interface KekOrders {
  readonly connection: pg.ClientConfig
  /** Folder of the key-encryption keys. */
  readonly kek: string
  /** While the file of a new key is written, when it is and its row is not, when its row is committed, or when the old key goes. */
  readonly die: 'writing' | 'created' | 'committed' | 'destroying'
  /** True: at the first key of the database. */
  readonly first: boolean
}

process.once('disconnect', () => process.exit(1))
const [orders] = (await once(process, 'message')) as [KekOrders]
const store = openStore({ connection: orders.connection, max: 4, log: silentLog })
const die = () => void process.kill(process.pid, 'SIGKILL')
const files = fileKeks(orders.kek)
const source: KekSource = {
  ...files,
  async create(id) {
    if (orders.die === 'writing') {
      mkdirSync(orders.kek, { recursive: true, mode: 0o700 })
      writeFileSync(join(orders.kek, `${id}.key.pending.new`), '0123', { mode: 0o600 })
      die()
    }
    const made = await files.create(id)
    if (orders.die === 'created') die()
    return made
  },
  settle(...args) {
    if (orders.die === 'committed') die()
    files.settle(...args)
  },
  async destroy(kek) {
    if (orders.die === 'destroying') die()
    await files.destroy(kek)
  },
}
if (!orders.first) await new Keyring([files]).start(store)
const keyring = new Keyring([source])
await keyring.start(store)
await rotateKek({ store, keyring, areas: [rewrapCredentials] }, makeCtx('child', 'faults'), { fresh: true })
process.exit(0)

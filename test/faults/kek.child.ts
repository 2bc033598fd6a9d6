/** Rotates the key-encryption key in a process of its own, which dies where the old key would be destroyed. */
import { once } from 'node:events'
import type pg from 'pg'
import { rewrapCredentials } from '../../src/credential/index.ts'
import { makeCtx, silentLog } from '../../src/kernel/index.ts'
import { fileKeks, Keyring, rotateKek } from '../../src/keys/index.ts'
import { openStore } from '../../src/store/index.ts'

/** What the parent tells. */
export interface KekOrders {
  readonly connection: pg.ClientConfig
  /** Folder of the key-encryption keys. */
  readonly kek: string
}

process.once('disconnect', () => process.exit(1))
const [orders] = (await once(process, 'message')) as [KekOrders]
const store = openStore({ connection: orders.connection, max: 4, log: silentLog })
const keyring = new Keyring([{ ...fileKeks(orders.kek), destroy: async () => void process.kill(process.pid, 'SIGKILL') }])
await keyring.start(store)
await rotateKek({ store, keyring, areas: [rewrapCredentials] }, makeCtx('child', 'faults'), { fresh: true })
process.exit(0)

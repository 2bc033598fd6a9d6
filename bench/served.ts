/** A real `rekey serve` as a child, and its data folder while none runs. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { makeCtx, silentLog } from '../src/kernel/index.ts'
import { fileKeks, Keyring } from '../src/keys/index.ts'
import { openStore, type Store, startEmbedded } from '../src/store/index.ts'

const PROGRAM = new URL('../bin/rekey', import.meta.url).pathname

export interface Served {
  readonly child: ChildProcess
  readonly url: string
  readonly readyMs: number
}

export async function serve(data: string): Promise<Served> {
  const start = performance.now()
  const env = { PATH: process.env.PATH ?? '', REKEY_DATA: data, REKEY_LISTEN: '127.0.0.1:0', REKEY_LOG: 'error' }
  const child = spawn(PROGRAM, ['serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const url = await new Promise<string>((resolve, reject) => {
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      const match = /ready on (\S+)/.exec(out)
      if (match?.[1]) resolve(match[1])
    })
    child.once('exit', () => reject(new Error(`rekey serve ended: ${out}`)))
  })
  return { child, url, readyMs: performance.now() - start }
}

export async function stop({ child }: Served): Promise<void> {
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** The inventory is filled while no server runs, on the same data folder and with its keys. */
export async function offline(data: string, use: (store: Store, keyring: Keyring) => Promise<void>): Promise<void> {
  const database = await startEmbedded(makeCtx('bench', 'bench'), data)
  const store = openStore({ connection: database.connection, max: 2, log: silentLog })
  const keyring = new Keyring([fileKeks(join(data, 'kek'))])
  await keyring.start(store)
  await use(store, keyring)
  await store.close()
  await database.stop()
}

import { type ChildProcess, fork, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Engine } from '../../src/credential/testing.ts'
import type { Orders } from './child.ts'

const PROGRAM = new URL('child.ts', import.meta.url).pathname
const PATIENCE_MS = 30_000

/** A worker process of Rekey on an engine's database and keys. */
export class Child {
  readonly #process: ChildProcess
  readonly #ended: Promise<string>

  private constructor(process: ChildProcess) {
    this.#process = process
    this.#ended = new Promise((resolve) => process.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`)))
  }

  /** Resolves when its worker runs. `noFiles`: it can write no file (RLIMIT_FSIZE 0), as on a full disk. */
  static async start(engine: Engine, trap: Orders['trap'] = null, noFiles = false): Promise<Child> {
    const { PATH, REKEY_TEST_LOG, NODE_COMPILE_CACHE } = process.env
    const cache = NODE_COMPILE_CACHE && !noFiles ? { NODE_COMPILE_CACHE } : {}
    const env = { PATH, TZ: 'UTC', ...cache, ...(REKEY_TEST_LOG ? { REKEY_TEST_LOG } : {}) }
    const limited = { execPath: '/bin/sh', execArgv: ['-c', 'ulimit -f 0; exec "$0" "$@"', process.execPath] }
    const how = noFiles ? limited : { execArgv: [] }
    const child = new Child(fork(PROGRAM, { ...how, env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
    const orders: Orders = { connection: engine.db.connection, kek: join(engine.folder, 'kek'), trap }
    child.#process.send(orders as unknown as Serializable)
    // A trap may be sprung before the answer.
    await Promise.race([once(child.#process, 'message'), child.#ended])
    return child
  }

  get pid(): number {
    return this.#process.pid ?? Number.NaN
  }

  /** SIGKILL, at this very moment. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  /** Waits until it has killed itself in its trap; throws if it does not come to that. */
  async sprung(ms = PATIENCE_MS): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('not yet'), ms)
    })
    const how = await Promise.race([this.#ended, late])
    clearTimeout(timer)
    if (how !== 'SIGKILL') {
      await this.kill()
      throw new Error(`the process should have died in its trap: ${how}`)
    }
  }

  /** Lets it stop in order. */
  async stop(): Promise<void> {
    if (this.#process.connected) this.#process.send('stop')
    await this.#ended
  }
}

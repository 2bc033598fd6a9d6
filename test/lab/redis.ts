import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, type RedisClientType } from 'redis'
import { newId, Secret } from '../../src/kernel/index.ts'
import { sha256Hex } from '../../src/seal/index.ts'
import { freePort, removeFolder, temporaryFolder, waitForPort } from './ports.ts'
import { findProgram, launch, type Running, unprivileged } from './program.ts'

/**
 * How the server keeps its accounts over a restart: in an ACL file, in its configuration file, or not at all, since that file cannot be
 * written (`none`) or it was started without any (`nowhere`).
 */
export type Persistence = 'aclfile' | 'config' | 'none' | 'nowhere'

/** A real Redis on a free port of 127.0.0.1, in a temporary folder. Its `default` user is off. */
export interface LabRedis {
  readonly host: '127.0.0.1'
  readonly port: number
  /** May do everything. */
  readonly superuser: { readonly account: string; readonly secret: Secret }
  /** Holds `redis.conf`, `users.acl` and `log`. Removed by `stop`. */
  readonly folder: string
  /** Of the server at this moment. */
  readonly pid: number
  /** As superuser, over one kept connection. */
  command(...args: readonly string[]): Promise<unknown>
  /** Orderly stop and start on the same port; open connections are cut. */
  restart(): Promise<void>
  /** SIGSTOP: it accepts connections and does not answer. */
  pause(): void
  resume(): void
  /** Shuts down and removes the folder. Twice is harmless. */
  stop(): Promise<void>
}

/** Starts the server; null if Redis is not installed. As root, it runs as an unprivileged user. */
export async function startRedis(options: { readonly persistence?: Persistence } = {}): Promise<LabRedis | null> {
  const server = findProgram('redis-server')
  if (server === null) return null
  const runner = unprivileged('redis')
  const folder = await temporaryFolder('rekey-lab-redis')
  const superuser = { account: 'lab_admin', secret: Secret.fromText(`lab-${newId()}`) }
  const users = ['user default off', `user ${superuser.account} on #${sha256Hex(superuser.secret)} ~* &* +@all`]
  const write = (name: string, lines: readonly string[]) => {
    const path = join(folder, name)
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
    if (runner) chownSync(path, runner.uid, runner.gid)
    return path
  }
  try {
    if (runner) chownSync(folder, runner.uid, runner.gid)
    const port = await freePort()
    const persistence = options.persistence ?? 'aclfile'
    const settings = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'save ""', 'appendonly no']
    if (persistence === 'aclfile') settings.push(`aclfile ${write('users.acl', users)}`)
    else settings.push(...users)
    const conf = write('redis.conf', settings)
    const start = async () => {
      const running = launch(server, persistence === 'nowhere' ? asArguments(settings) : [conf], {
        folder,
        log: join(folder, 'log'),
        runner,
      })
      await waitForPort(port, 20_000, running.ended)
      return running
    }
    const lab = new Lab(await start(), folder, port, superuser, start)
    // With a folder in its place CONFIG REWRITE fails, as on a server whose configuration is read-only.
    if (persistence === 'none') {
      await removeFolder(conf)
      mkdirSync(conf)
    }
    return lab
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/** Lines of a configuration as arguments: a server that is started so has no file to keep anything in. */
function asArguments(settings: readonly string[]): string[] {
  return settings.filter((line) => line !== 'save ""').flatMap((line) => `--${line}`.split(' '))
}

class Lab implements LabRedis {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly folder: string
  readonly superuser: LabRedis['superuser']
  #running: Running
  readonly #start: () => Promise<Running>
  #client: Promise<RedisClientType> | null = null

  constructor(running: Running, folder: string, port: number, superuser: LabRedis['superuser'], start: () => Promise<Running>) {
    this.#running = running
    this.folder = folder
    this.port = port
    this.superuser = superuser
    this.#start = start
  }

  get pid(): number {
    return this.#running.pid
  }

  async command(...args: readonly string[]): Promise<unknown> {
    this.#client ??= this.#connect()
    return (await this.#client).sendCommand([...args])
  }

  async restart(): Promise<void> {
    await this.#disconnect()
    await this.#running.stop()
    this.#running = await this.#start()
  }

  pause(): void {
    this.#running.pause()
  }

  resume(): void {
    this.#running.resume()
  }

  async stop(): Promise<void> {
    await this.#disconnect()
    await this.#running.stop()
    await removeFolder(this.folder)
  }

  /** The kept connection; forgotten when it breaks or cannot be had, so that the next command opens another. */
  async #connect(): Promise<RedisClientType> {
    const forget = () => {
      this.#client = null
    }
    const { account: username, secret } = this.superuser
    const client: RedisClientType = secret.revealText((password) =>
      createClient({ username, password, disableClientInfo: true, socket: { host: this.host, port: this.port, reconnectStrategy: false } }),
    )
    client.on('error', forget)
    try {
      return await client.connect()
    } catch (error) {
      forget()
      throw error
    }
  }

  async #disconnect(): Promise<void> {
    const client = await this.#client?.catch(() => null)
    this.#client = null
    if (client?.isOpen) client.destroy()
  }
}

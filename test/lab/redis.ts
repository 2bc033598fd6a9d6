import { chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, type RedisClientType } from 'redis'
import { newId, Secret } from '../../src/kernel/index.ts'
import { sha256Hex } from '../../src/seal/index.ts'
import { KeptServer, type LabServer } from './kept.ts'
import { freePort, removeFolder, temporaryFolder, waitForPort } from './ports.ts'
import { findProgram, launch, unprivileged, writeOwned } from './program.ts'

/**
 * How the server keeps its accounts over a restart: in an ACL file, in its configuration file, or not at all, since that file cannot be
 * written (`none`) or it was started without any (`nowhere`).
 */
export type Persistence = 'aclfile' | 'config' | 'none' | 'nowhere'

/** A real Redis on a free port of 127.0.0.1, with `redis.conf`, `users.acl` and `log` in its folder. Its `default` user is off. */
export interface LabRedis extends LabServer {
  /** As superuser, over one kept connection. */
  command(...args: readonly string[]): Promise<unknown>
}

/** Starts the server; null if Redis is not installed. As root, it runs as an unprivileged user. */
export async function startRedis(options: { readonly persistence?: Persistence } = {}): Promise<LabRedis | null> {
  const server = findProgram('redis-server')
  if (server === null) return null
  const runner = unprivileged('redis')
  const folder = await temporaryFolder('rekey-lab-redis')
  const superuser = { account: 'lab_admin', secret: Secret.fromText(`lab-${newId()}`) }
  const users = ['user default off', `user ${superuser.account} on #${sha256Hex(superuser.secret)} ~* &* +@all`]
  const write = (name: string, lines: readonly string[]) => writeOwned(folder, name, `${lines.join('\n')}\n`, runner)
  try {
    if (runner) chownSync(folder, runner.uid, runner.gid)
    const port = await freePort()
    const persistence = options.persistence ?? 'aclfile'
    const settings = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'save ""', 'appendonly no']
    if (persistence === 'aclfile') settings.push(`aclfile ${write('users.acl', users)}`)
    else settings.push(...users)
    const conf = write('redis.conf', settings)
    const start = async (more: readonly string[]) => {
      const from = persistence === 'nowhere' ? asArguments(settings) : [conf]
      const running = launch(server, [...from, ...more], { folder, log: join(folder, 'log'), runner })
      await waitForPort(port, 20_000, running.ended)
      return running
    }
    const lab = new Lab({ port, folder, superuser, runner, start }, await start([]))
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

class Lab extends KeptServer<RedisClientType> implements LabRedis {
  async command(...args: readonly string[]): Promise<unknown> {
    return (await this.client()).sendCommand([...args])
  }

  protected async connect(broken: () => void): Promise<RedisClientType> {
    const { account: username, secret } = this.superuser
    const client: RedisClientType = secret.revealText((password) =>
      createClient({ username, password, disableClientInfo: true, socket: { host: this.host, port: this.port, reconnectStrategy: false } }),
    )
    client.on('error', broken)
    return client.connect()
  }

  protected async disconnect(client: RedisClientType): Promise<void> {
    if (client.isOpen) client.destroy()
  }
}

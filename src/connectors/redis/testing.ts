import { createClient } from 'redis'
import { makeAuthority, selfSigned } from '../../../test/lab/certificates.ts'
import { freePort, startSilent } from '../../../test/lab/ports.ts'
import { startProxy } from '../../../test/lab/proxy.ts'
import { type LabRedis, type Persistence, startRedis } from '../../../test/lab/redis.ts'
import { newId, Secret } from '../../kernel/index.ts'
import { sha256Hex } from '../../seal/index.ts'
import type { ContractLab, LabCertificate, LabSession } from '../contract.kit.ts'
import type { Address } from '../contract.ts'
import { readClients } from './acl.ts'
import { redis } from './index.ts'

/** The shared suite's laboratory, and the server itself for tests of Redis' own traps. */
export interface RedisLab extends ContractLab {
  readonly server: LabRedis
}

/** Starts a Redis with an all-powerful `rekey_root`. For tests only; rejects if the program is missing. */
export async function startLab(persistence: Persistence = 'aclfile'): Promise<RedisLab> {
  const server = await startRedis({ persistence })
  if (server === null) throw new Error('Redis is not installed: apt-get install redis-server')
  const root = { account: 'rekey_root', secret: Secret.fromText(`root-${newId()}`) }
  await server.command('ACL', 'SETUSER', root.account, 'on', `#${sha256Hex(root.secret)}`, '~*', '&*', '+@all')
  const address = { host: server.host, port: server.port, tls: 'off' } as const
  return {
    server,
    connector: redis,
    address,
    root,
    installMarker: 'SETUSER',
    impossibleAccounts: [
      'Mixed Case and spaces',
      "'; drop table t; --",
      '"; drop role x; --',
      'ends with backslash\\',
      'line\nbreak',
      'tab\tbed',
      'half\ud83d',
    ],
    createAccount: (name, secret) => createAccount(server, name, secret),
    setRootSecret: async (secret) => void (await server.command('ACL', 'SETUSER', root.account, 'resetpass', `#${sha256Hex(secret)}`)),
    openSession: (account, secret, application) => openSession(server, account, secret, application),
    countConnections: () => countConnections(server),
    certificates: { makeAuthority, selfSigned },
    serveTls: (certificate) => serveTls(server, certificate),
    startProxy: () => startProxy(address),
    startSilent,
    closedPort: freePort,
    disturbances: [{ name: 'any value is accepted', begin: (account) => nopass(server, account) }],
    refusals: [],
    stop: () => server.stop(),
  }
}

/** Creates a user that may read some keys. */
export async function createAccount(server: LabRedis, name: string, secret: Secret): Promise<void> {
  await server.command('ACL', 'SETUSER', name, 'on', `#${sha256Hex(secret)}`, '~shop:*', '-@all', '+get', '+ping', '+client|setname')
}

async function nopass(server: LabRedis, account: string): Promise<() => Promise<void>> {
  const reply = await server.command('ACL', 'GETUSER', account)
  const fields = reply instanceof Map ? reply : new Map(Object.entries(reply as object))
  const hashes = fields.get('passwords') as string[]
  await server.command('ACL', 'SETUSER', account, 'nopass')
  return async () => void (await server.command('ACL', 'SETUSER', account, 'resetpass', ...hashes.map((hash) => `#${hash}`)))
}

/** On a port of its own, beside the plain one. */
async function serveTls(server: LabRedis, { cert, key }: LabCertificate): Promise<Address> {
  const files = ['tls-cert-file', server.write('server.crt', cert), 'tls-key-file', server.write('server.key', key)]
  const port = await freePort()
  await server.command('CONFIG', 'SET', 'tls-auth-clients', 'no', ...files, 'tls-port', String(port))
  return { host: server.host, port, tls: 'require' }
}

/** Connections of clients, the laboratory's own left out. */
export async function countConnections(server: LabRedis): Promise<number> {
  const own = Number(await server.command('CLIENT', 'ID'))
  return readClients(String(await server.command('CLIENT', 'LIST'))).filter((row) => row.id !== own).length
}

/** Logs in as a consumer and stays. */
export async function openSession(server: LabRedis, account: string, secret: Secret, application: string): Promise<LabSession> {
  const socket = { host: server.host, port: server.port, reconnectStrategy: false as const }
  const client = secret.revealText((password) =>
    createClient({ username: account, password, name: application, RESP: 2, disableClientInfo: true, socket }),
  )
  client.on('error', () => {})
  await client.connect()
  return {
    alive: () =>
      client.ping().then(
        () => true,
        () => false,
      ),
    async close() {
      if (client.isOpen) client.destroy()
    },
  }
}

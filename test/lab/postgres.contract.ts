import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { ContractLab, LabSession } from '../../src/connectors/contract.kit.ts'
import { postgres } from '../../src/connectors/postgres/index.ts'
import { newId, Secret, sleep } from '../../src/kernel/index.ts'
import { makeAuthority, selfSigned } from './certificates.ts'
import { freePort, startSilent } from './ports.ts'
import { type LabPostgres, type PostgresOptions, startPostgres } from './postgres.ts'
import { startProxy } from './proxy.ts'
import { LAB_TLS } from './tls.ts'

/** The shared suite's laboratory, and the server itself for tests of PostgreSQL's own traps. */
export interface PostgresLab extends ContractLab {
  readonly server: LabPostgres
}

/** Starts a PostgreSQL with TLS, `passwordcheck` loaded and a superuser `rekey_root`. */
export async function startLab(options: Pick<PostgresOptions, 'programs'> = {}): Promise<PostgresLab> {
  const server = await startPostgres({
    ...options,
    fsync: false,
    tls: LAB_TLS,
    settings: { shared_preload_libraries: 'passwordcheck', track_commit_timestamp: 'on' },
  })
  const root = { account: 'rekey_root', secret: Secret.fromText(`root-${newId()}`) }
  await createAccount(server, root.account, root.secret, 'SUPERUSER')
  const address = { host: server.host, port: server.port, database: 'postgres', tls: 'off' } as const
  return {
    server,
    connector: postgres,
    address,
    root,
    installMarker: 'ALTER ROLE',
    impossibleAccounts: ['pg_evil', 'x'.repeat(64), 'é'.repeat(32), 'public', 'none'],
    createAccount: (name, secret) => createAccount(server, name, secret),
    setRootSecret: (secret) => setPassword(server, root.account, secret),
    openSession: (account, secret, application) => openSession(server, account, secret, application),
    countConnections: () => countConnections(server),
    certificates: { makeAuthority, selfSigned },
    async serveTls(certificate) {
      server.write('data/server.crt', certificate.cert)
      server.write('data/server.key', certificate.key)
      await server.restart()
      return address
    },
    startProxy: () => startProxy(address),
    startSilent,
    closedPort: freePort,
    disturbances: [
      { name: 'not allowed to log in', begin: (account) => alter(server, account, 'NOLOGIN', 'LOGIN') },
      { name: 'too many connections', begin: (account) => alter(server, account, 'CONNECTION LIMIT 0', 'CONNECTION LIMIT -1') },
      { name: 'no password is asked for', begin: (account) => letIn(server, account) },
    ],
    refusals: [{ name: 'passwordcheck', begin: () => valueLikeName(server) }],
    stop: () => server.stop(),
  }
}

/** Creates a login role; `attributes` is SQL. */
export async function createAccount(server: LabPostgres, name: string, secret: Secret, attributes = ''): Promise<void> {
  await server.query(`CREATE ROLE ${pg.escapeIdentifier(name)} LOGIN ${attributes}`)
  await setPassword(server, name, secret)
}

async function setPassword(server: LabPostgres, name: string, secret: Secret): Promise<void> {
  await server.query(secret.revealText((text) => `ALTER ROLE ${pg.escapeIdentifier(name)} PASSWORD ${pg.escapeLiteral(text)}`))
}

/** Connections of clients, the laboratory's own left out. */
export async function countConnections(server: LabPostgres): Promise<number> {
  const [row] = await server.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  )
  return row?.n ?? Number.NaN
}

async function openSession(server: LabPostgres, account: string, secret: Secret, application: string): Promise<LabSession> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    database: 'postgres',
    user: account,
    password: () => secret.revealText((text) => text),
    application_name: application,
  })
  client.on('error', () => {})
  await client.connect()
  return {
    alive: () =>
      client.query('SELECT 1').then(
        () => true,
        () => false,
      ),
    close: () => client.end().catch(() => {}),
  }
}

async function alter(server: LabPostgres, account: string, begin: string, end: string): Promise<() => Promise<void>> {
  await server.query(`ALTER ROLE ${pg.escapeIdentifier(account)} ${begin}`)
  return async () => void (await server.query(`ALTER ROLE ${pg.escapeIdentifier(account)} ${end}`))
}

/** pg_hba.conf lets the account in without a password. Resolves once the server goes by it; so does the end. */
export async function letIn(server: LabPostgres, account: string): Promise<() => Promise<void>> {
  const path = join(server.folder, 'data', 'pg_hba.conf')
  const before = await readFile(path, 'utf8')
  const become = async (text: string, open: boolean) => {
    await writeFile(path, text)
    await server.query('SELECT pg_reload_conf()')
    while ((await entersFreely(server, account)) !== open) await sleep(20)
  }
  await become(`host all ${account} 127.0.0.1/32 trust\n${before}`, true)
  return () => become(before, false)
}

/** The account gets an MD5 hash of the value, and is asked for that. Resolves once it can log in so; the end leaves the hash. */
export async function logInByMd5(server: LabPostgres, account: string, secret: Secret): Promise<() => Promise<void>> {
  const path = join(server.folder, 'data', 'pg_hba.conf')
  const before = await readFile(path, 'utf8')
  await server.query('SET password_encryption = md5')
  await setPassword(server, account, secret)
  await server.query('RESET password_encryption')
  await writeFile(path, `host all ${account} 127.0.0.1/32 md5\n${before}`)
  await server.query('SELECT pg_reload_conf()')
  // Before the server has read the file it asks for SCRAM, which nobody with such a hash passes.
  for (;;) {
    const session = await openSession(server, account, secret, 'lab').catch(() => null)
    await session?.close()
    if (session !== null) break
    await sleep(20)
  }
  return async () => {
    await writeFile(path, before)
    await server.query('SELECT pg_reload_conf()')
  }
}

async function entersFreely(server: LabPostgres, account: string): Promise<boolean> {
  const session = await openSession(server, account, Secret.fromText('any value'), 'lab').catch(() => null)
  await session?.close()
  return session !== null
}

/** passwordcheck refuses a value equal to the account's name even when it gets only the verifier. */
async function valueLikeName(server: LabPostgres) {
  const account = `policy_${newId().slice(-12)}`
  await createAccount(server, account, Secret.fromText(`value-${newId()}`))
  return { account, secret: Secret.fromText(account), end: async () => {} }
}

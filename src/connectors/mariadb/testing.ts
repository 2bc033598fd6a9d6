import mysql from 'mysql2/promise'
import { makeAuthority, selfSigned } from '../../../test/lab/certificates.ts'
import { type LabMariadb, startMariadb } from '../../../test/lab/mariadb.ts'
import { freePort, startSilent } from '../../../test/lab/ports.ts'
import { startProxy } from '../../../test/lab/proxy.ts'
import { newId, Secret, sleep } from '../../kernel/index.ts'
import { mysqlNativeHash } from '../../seal/index.ts'
import type { ContractLab, LabSession } from '../contract.kit.ts'
import { mariadb } from './index.ts'
import { parseAccount, quoteAccount } from './names.ts'

/** The shared suite's laboratory, and the server itself for tests of MariaDB's own traps. */
export interface MariadbLab extends ContractLab {
  readonly server: LabMariadb
}

/** Starts a MariaDB with an all-powerful `rekey_root`. For tests only; rejects if the program is missing. */
export async function startLab(): Promise<MariadbLab> {
  const server = await startMariadb()
  if (server === null) throw new Error('MariaDB is not installed: apt-get install mariadb-server')
  const root = { account: 'rekey_root', secret: Secret.fromText(`root-${newId()}`) }
  await createAccount(server, root.account, root.secret)
  await server.query(`GRANT ALL PRIVILEGES ON *.* TO ${quoteAccount(parseAccount(root.account))} WITH GRANT OPTION`)
  const address = { host: server.host, port: server.port, tls: 'off' } as const
  return {
    server,
    connector: mariadb,
    address,
    root,
    installMarker: 'ALTER USER',
    impossibleAccounts: ['x'.repeat(129), 'Zoë-Ünïcode-Ж-漢-🔑', 'ends with space ', 'svc@', '@host', `svc@${'h'.repeat(256)}`],
    elsewhereAccounts: ['at@host'],
    createAccount: (name, secret) => createAccount(server, name, secret),
    setRootSecret: (secret) => alter(server, root.account, identified(secret)),
    openSession: (account, secret) => openSession(server, account, secret),
    countConnections: () => countConnections(server),
    certificates: { makeAuthority, selfSigned },
    async serveTls({ cert, key }) {
      const [certFile, keyFile] = [server.write('server.crt', cert), server.write('server.key', key)]
      await server.restart([`--ssl-cert=${certFile}`, `--ssl-key=${keyFile}`])
      return address
    },
    startProxy: () => startProxy(address),
    startSilent,
    closedPort: freePort,
    disturbances: [
      { name: 'locked', begin: (account) => altered(server, account, 'ACCOUNT LOCK', 'ACCOUNT UNLOCK') },
      { name: 'expired', begin: (account) => altered(server, account, 'PASSWORD EXPIRE', 'PASSWORD EXPIRE NEVER') },
      { name: 'too many connections', begin: () => full(server) },
    ],
    refusals: [],
    stop: () => server.stop(),
  }
}

function identified(secret: Secret): string {
  return `IDENTIFIED VIA mysql_native_password USING '${mysqlNativeHash(secret)}'`
}

/** Creates an account that may see one schema. */
export async function createAccount(server: LabMariadb, name: string, secret: Secret): Promise<void> {
  const account = quoteAccount(parseAccount(name))
  await server.query(`CREATE USER ${account} ${identified(secret)}`)
  await server.query(`GRANT SELECT ON shop.* TO ${account}`)
}

/** ALTER USER of an inventory name, with SQL of one's own. */
export async function alter(server: LabMariadb, account: string, sql: string): Promise<void> {
  await server.query(`ALTER USER ${quoteAccount(parseAccount(account))} ${sql}`)
}

async function altered(server: LabMariadb, account: string, begin: string, end: string): Promise<() => Promise<void>> {
  await alter(server, account, begin)
  // Expiry is undone by a new password only; the same hash will do.
  const [row] = await server.query<{ hash: string }>(
    `SELECT JSON_VALUE(Priv, '$.authentication_string') AS hash FROM mysql.global_priv WHERE User = ?`,
    [account],
  )
  return () => alter(server, account, `IDENTIFIED VIA mysql_native_password USING '${row?.hash}' ${end}`)
}

/** All the connections that the server allows are taken by others. */
async function full(server: LabMariadb): Promise<() => Promise<void>> {
  const filler = { account: `filler_${newId().slice(-12)}`, secret: Secret.fromText(newId()) }
  await createAccount(server, filler.account, filler.secret)
  const [before] = await server.query<{ most: number }>('SELECT @@max_connections AS most')
  await server.query('SET GLOBAL max_connections = 10')
  const open: LabSession[] = []
  for (let session: LabSession | null = null, n = 0; n < 15; n++) {
    session = await openSession(server, filler.account, filler.secret).catch(() => null)
    if (session) open.push(session)
  }
  return async () => {
    await server.query(`SET GLOBAL max_connections = ${Number(before?.most)}`)
    await Promise.all(open.map((session) => session.close()))
  }
}

/** Connections of clients, the laboratory's own left out. */
export async function countConnections(server: LabMariadb): Promise<number> {
  const [row] = await server.query<{ n: number }>(
    `SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND <> 'Daemon'`,
  )
  return Number(row?.n)
}

/** Logs in as a consumer and stays. */
export async function openSession(server: LabMariadb, account: string, secret: Secret): Promise<LabSession> {
  const { user } = parseAccount(account)
  const connection = await secret.revealText((password) => mysql.createConnection({ host: server.host, port: server.port, user, password }))
  connection.on('error', () => {})
  let open = true
  return {
    alive: () =>
      connection.query('SELECT 1').then(
        () => true,
        () => false,
      ),
    async close() {
      if (open) await Promise.race([connection.end().catch(() => {}), sleep(500)])
      open = false
      connection.destroy()
    },
  }
}

import pg from 'pg'
import type { Secret } from '../src/kernel/index.ts'
import { generatePassword, mysqlNativeHash, scramSha256Verifier, sha256Hex } from '../src/seal/index.ts'
import { type LabMariadb, startMariadb } from '../test/lab/mariadb.ts'
import { type LabPostgres, startPostgres } from '../test/lab/postgres.ts'
import { type LabRedis, startRedis } from '../test/lab/redis.ts'
import { accountsOf, type Service, type SystemName } from './services.ts'
import type { Login } from './session.ts'

const ROOT = 'rekey_root'
const DATABASE = 'shop'
const ROWS = 200

/** A real server of the fleet, with its accounts made. */
export interface System {
  readonly name: SystemName
  readonly connector: Login['kind']
  readonly host: string
  readonly port: number
  /** Null where there is none to choose. */
  readonly database: string | null
  readonly root: { readonly account: string; readonly secret: Secret }
  readonly pid: number
  readonly folder: string
  /** The value in use of each service. */
  readonly secrets: ReadonlyMap<string, Secret>
  /** What a consumer of this service asks again and again. */
  request(service: Service): string
  stop(): Promise<void>
}

/** Starts one server and makes the accounts of its services; null if its program is not installed. */
export type StartSystem = (services: readonly Service[]) => Promise<System | null>

/** How each system is started. The root account of each has the rights that Rekey needs and no others. */
export const START: Readonly<Record<SystemName, StartSystem>> = { 'orders-db': startOrders, 'catalog-db': startCatalog, cache: startCache }

function freshSecrets(services: readonly Service[]): Map<string, Secret> {
  return new Map(services.map(({ name }) => [name, generatePassword()]))
}

function statement({ name, uses, writes }: Service): string {
  return writes ? `UPDATE ${uses} SET touched = touched + 1 WHERE id = ${name.length}` : `SELECT count(*) FROM ${uses}`
}

function secretOf(secrets: ReadonlyMap<string, Secret>, { name }: Service): Secret {
  const secret = secrets.get(name)
  if (secret === undefined) throw new Error(`No secret was made for ${name}.`)
  return secret
}

async function startOrders(services: readonly Service[]): Promise<System> {
  const lab = await startPostgres()
  const root = { account: ROOT, secret: generatePassword() }
  const secrets = freshSecrets(services)
  try {
    await fillOrders(lab, root.secret, services, secrets)
  } catch (error) {
    await lab.stop()
    throw error
  }
  return {
    ...{ name: 'orders-db', connector: 'postgres', host: lab.host, port: lab.port, database: DATABASE, root, secrets },
    ...{ pid: lab.pid, folder: lab.folder, stop: () => lab.stop() },
    request: statement,
  }
}

async function fillOrders(
  lab: LabPostgres,
  root: Secret,
  services: readonly Service[],
  secrets: ReadonlyMap<string, Secret>,
): Promise<void> {
  await lab.query(`CREATE DATABASE ${DATABASE}`)
  const { account: user, secret } = lab.superuser
  const password = () => secret.revealText((text) => text)
  const client = new pg.Client({ host: lab.host, port: lab.port, database: DATABASE, user, password })
  client.on('error', () => {})
  await client.connect()
  try {
    for (const table of new Set(services.map(({ uses }) => uses))) {
      await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)`)
      await client.query(`INSERT INTO ${table} SELECT generate_series(1, ${ROWS})`)
    }
    // Verifiers, so that no value gets into the server's log.
    await client.query(`CREATE ROLE ${ROOT} LOGIN CREATEROLE PASSWORD '${await scramSha256Verifier(root)}'`)
    await client.query(`GRANT pg_signal_backend, pg_read_all_stats TO ${ROOT}`)
    for (const service of services) {
      const verifier = await scramSha256Verifier(secretOf(secrets, service))
      for (const text of orderRole(service, verifier)) await client.query(text)
    }
  } finally {
    await client.end()
  }
}

/** One role, or a pair of login roles that both act as a third, which has the rights. Root may administer them and not become them. */
function orderRole(service: Service, verifier: string): string[] {
  const { uses, writes } = service
  const rights = `GRANT SELECT${writes ? ', UPDATE' : ''} ON ${uses} TO`
  const [first = '', second] = accountsOf(service)
  const administer = (role: string) => `GRANT ${role} TO ${ROOT} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`
  if (second === undefined) return [`CREATE ROLE ${first} LOGIN PASSWORD '${verifier}'`, `${rights} ${first}`, administer(first)]
  const group = first.replace(/_a$/, '')
  return [
    `CREATE ROLE ${group} NOLOGIN`,
    `${rights} ${group}`,
    `CREATE ROLE ${first} LOGIN IN ROLE ${group} PASSWORD '${verifier}'`,
    `CREATE ROLE ${second} LOGIN IN ROLE ${group}`,
    ...[first, second].flatMap((role) => [`ALTER ROLE ${role} SET role = '${group}'`, administer(role)]),
  ]
}

async function startCatalog(services: readonly Service[]): Promise<System | null> {
  const lab = await startMariadb()
  if (lab === null) return null
  const root = { account: ROOT, secret: generatePassword() }
  const secrets = freshSecrets(services)
  try {
    await fillCatalog(lab, root.secret, services, secrets)
  } catch (error) {
    await lab.stop()
    throw error
  }
  return {
    ...{ name: 'catalog-db', connector: 'mariadb', host: lab.host, port: lab.port, database: DATABASE, root, secrets },
    ...{ pid: lab.pid, folder: lab.folder, stop: () => lab.stop() },
    request: statement,
  }
}

async function fillCatalog(
  lab: LabMariadb,
  root: Secret,
  services: readonly Service[],
  secrets: ReadonlyMap<string, Secret>,
): Promise<void> {
  const create = (account: string, secret: Secret) =>
    lab.query(`CREATE USER ${account}@'%' IDENTIFIED VIA mysql_native_password USING '${mysqlNativeHash(secret)}'`)
  await lab.query(`CREATE DATABASE ${DATABASE}`)
  for (const table of new Set(services.map(({ uses }) => uses))) {
    await lab.query(`CREATE TABLE ${DATABASE}.${table} (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)`)
    await lab.query(`INSERT INTO ${DATABASE}.${table} (id) SELECT seq FROM ${DATABASE}.seq_1_to_${ROWS}`)
  }
  await create(ROOT, root)
  await lab.query(`GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO ${ROOT}@'%'`)
  await lab.query(`GRANT SELECT ON mysql.* TO ${ROOT}@'%'`)
  for (const service of services) {
    const [account = ''] = accountsOf(service)
    await create(account, secretOf(secrets, service))
    await lab.query(`GRANT SELECT${service.writes ? ', UPDATE' : ''} ON ${DATABASE}.${service.uses} TO ${account}@'%'`)
  }
}

async function startCache(services: readonly Service[]): Promise<System | null> {
  const lab = await startRedis()
  if (lab === null) return null
  const root = { account: ROOT, secret: generatePassword() }
  const secrets = freshSecrets(services)
  try {
    await fillCache(lab, root.secret, services, secrets)
  } catch (error) {
    await lab.stop()
    throw error
  }
  return {
    ...{ name: 'cache', connector: 'redis', host: lab.host, port: lab.port, database: null, root, secrets },
    ...{ pid: lab.pid, folder: lab.folder, stop: () => lab.stop() },
    request: ({ uses, writes }) => (writes ? `INCR ${uses}:count` : `GET ${uses}:count`),
  }
}

async function fillCache(lab: LabRedis, root: Secret, services: readonly Service[], secrets: ReadonlyMap<string, Secret>): Promise<void> {
  const needs = ['+acl', '+client', '+info', '+ping', '+multi', '+exec', '+config|get', '+config|rewrite']
  await lab.command('ACL', 'SETUSER', ROOT, 'on', `#${sha256Hex(root)}`, ...needs)
  for (const service of services) {
    const { uses, writes } = service
    const [account = ''] = accountsOf(service)
    const may = [`~${uses}:*`, '+ping', '+client|setname', '+get', ...(writes ? ['+incr'] : [])]
    await lab.command('ACL', 'SETUSER', account, 'on', `#${sha256Hex(secretOf(secrets, service))}`, ...may)
  }
  await lab.command('ACL', 'SAVE')
}

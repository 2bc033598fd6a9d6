/** Real systems whose own logs are as loud as they can be made, and a fleet on them that uses every strategy. */
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Secret } from '../../src/kernel/index.ts'
import { mysqlNativeHash, scramSha256Verifier, sha256Hex } from '../../src/seal/index.ts'
import { type LabMariadb, startMariadb } from '../lab/mariadb.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { startProxy } from '../lab/proxy.ts'
import { type LabRedis, startRedis } from '../lab/redis.ts'

const LOUD_POSTGRES = {
  log_statement: 'all',
  log_min_messages: 'debug1',
  log_min_error_statement: 'debug1',
  log_connections: 'all',
  log_disconnections: 'on',
  log_parameter_max_length_on_error: '-1',
  log_duration: 'on',
}

/** The variable of the operator's environment from which one root secret comes. */
export const ROOT_VARIABLE = 'CANARY_ROOT'

export interface Targets {
  /** Declared values by the name of their file in the working folder, or `ROOT_VARIABLE`. */
  readonly declared: ReadonlyMap<string, string>
  readonly fleet: string
  /** Folders of the targets, with their logs and what they store. */
  readonly folders: readonly string[]
  /** What Redis showed to whoever watched it. */
  readonly monitored: () => string
  /** The verifier in the statement that the quoting system refused last. */
  readonly refusedVerifier: () => string
  stop(): Promise<void>
}

function value(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString('base64url')
}

const POSTGRES_ACCOUNTS = ['in_place', 'alt_a', 'alt_b', 'taken', 'report', 'undo', 'decided', 'weak', 'quoted', 'killed']

/** Starts the systems; MariaDB and Redis only where they are installed. Accounts are made with verifiers, so no log ever saw a value. */
export async function startTargets(work: string): Promise<Targets> {
  const declared = new Map<string, string>()
  const declare = (name: string) => {
    const text = value()
    declared.set(name, text)
    if (name !== ROOT_VARIABLE) writeFileSync(join(work, name), `${text}\n`, { mode: 0o600 })
    return Secret.fromText(text)
  }
  const [postgres, mariadb, redis] = await Promise.all([
    startPostgres({ fsync: false, settings: LOUD_POSTGRES }),
    startMariadb(),
    startRedis(),
  ])
  await preparePostgres(postgres, declare)
  await mariadb?.restart(['--general-log=1', `--general-log-file=${join(mariadb.folder, 'general.log')}`, '--log-warnings=9'])
  if (mariadb) await prepareMariadb(mariadb, declare)
  const monitor = redis ? await prepareRedis(redis, declare) : null
  const quoting = await startQuoting(postgres)
  return {
    declared,
    fleet: fleetOf(postgres.port, quoting.port, mariadb?.port ?? null, redis?.port ?? null),
    folders: [postgres, mariadb, redis].flatMap((lab) => (lab ? [lab.folder] : [])),
    monitored: () => monitor?.text() ?? '',
    refusedVerifier: quoting.refused,
    async stop() {
      monitor?.stop()
      await quoting.stop()
      await Promise.all([postgres, mariadb, redis].map((lab) => lab?.stop()))
    },
  }
}

type Declare = (name: string) => Secret

async function preparePostgres(server: LabPostgres, declare: Declare): Promise<void> {
  const make = async (account: string, secret: Secret, rights = '') =>
    server.query(`CREATE ROLE ${account} LOGIN ${rights} PASSWORD '${await scramSha256Verifier(secret)}'`)
  await make('rekey_root', declare(ROOT_VARIABLE), 'SUPERUSER')
  await make('weak_root', declare('weak_root.secret'), 'CREATEROLE')
  await make('quoted_root', declare('quoted_root.secret'), 'SUPERUSER')
  for (const account of POSTGRES_ACCOUNTS) await make(account, declare(`${account}.secret`))
}

async function prepareMariadb(server: LabMariadb, declare: Declare): Promise<void> {
  const make = (account: string) =>
    server.query(`CREATE USER ${account}@'%' IDENTIFIED VIA mysql_native_password USING '${mysqlNativeHash(declare(`${account}.secret`))}'`)
  for (const account of ['maria_root', 'maria_in_place', 'maria_dual']) await make(account)
  await server.query(`GRANT ALL PRIVILEGES ON *.* TO maria_root@'%' WITH GRANT OPTION`)
}

async function prepareRedis(server: LabRedis, declare: Declare) {
  const make = (account: string, ...rights: string[]) =>
    server.command('ACL', 'SETUSER', account, 'on', `#${sha256Hex(declare(`${account}.secret`))}`, ...rights)
  await make('redis_root', '~*', '&*', '+@all')
  await make('redis_dual', '~*', '+@read')
  await server.command('CONFIG', 'SET', 'loglevel', 'debug')
  return watchRedis(server)
}

/** MONITOR shows every command that the server is sent. */
async function watchRedis(server: LabRedis): Promise<{ text(): string; stop(): void }> {
  const socket = connect(server.port, server.host)
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  const { account, secret } = server.superuser
  secret.revealText((word) => socket.write(`AUTH ${account} ${word}\r\nMONITOR\r\n`))
  return { text: () => text, stop: () => socket.destroy() }
}

/** PostgreSQL behind something that refuses every new password by policy, with a text that quotes the whole statement. */
async function startQuoting(server: LabPostgres) {
  const proxy = await startProxy({ host: server.host, port: server.port })
  let refused = ''
  proxy.rewriteReplies((reply, request) => {
    const statement = request.toString('latin1')
    if (!statement.includes('ALTER ROLE')) return reply
    refused = /SCRAM-SHA-256\$[^']+/.exec(statement)?.[0] ?? refused
    const fields = { S: 'ERROR', V: 'ERROR', C: '22023', M: `too weak: ${statement}`, D: statement, q: statement }
    const body = Buffer.from(
      `${Object.entries(fields)
        .map(([name, text]) => `${name}${text.replaceAll('\0', ' ')}\0`)
        .join('')}\0`,
      'latin1',
    )
    const head = Buffer.from('E\0\0\0\0')
    head.writeInt32BE(body.length + 4, 1)
    return Buffer.concat([head, body, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])])
  })
  return { port: proxy.port, refused: () => refused, stop: () => proxy.stop() }
}

function fleetOf(postgres: number, quoting: number, mariadb: number | null, redis: number | null): string {
  const system = (name: string, connector: string, port: number, account: string, source: string) => `  - name: ${name}
    connector: ${connector}
    address: { host: 127.0.0.1, port: ${port}, ${connector === 'postgres' ? 'database: postgres, ' : ''}tls: off }
    root: { account: ${account}, secret: { ${source} } }`
  const one = (name: string, on: string, strategy: string, activation = 'none') => `  - name: ${name}
    identity: app
    system: ${on}
    account: ${name}
    strategy: ${strategy}${name === 'taken' ? '' : `\n    current: { file: ./${name}.secret }`}
    consumers:
      - { name: ${name}-1, file: { path: ./${name}.env, key: APP_PASSWORD }, activation: ${activation} }`
  const alternating = one('alt_a', 'pg', 'alternating').replace('account: alt_a', 'accounts: [alt_a, alt_b]')
  return `version: 1
systems:
${[
  system('pg', 'postgres', postgres, 'rekey_root', `env: ${ROOT_VARIABLE}`),
  system('pg-weak', 'postgres', postgres, 'weak_root', 'file: ./weak_root.secret'),
  system('pg-quoting', 'postgres', quoting, 'quoted_root', 'file: ./quoted_root.secret'),
  ...(mariadb ? [system('maria', 'mariadb', mariadb, 'maria_root', 'file: ./maria_root.secret')] : []),
  ...(redis ? [system('redis', 'redis', redis, 'redis_root', 'file: ./redis_root.secret')] : []),
].join('\n')}
identities:
  - { name: app, kind: workload, owner: team, purpose: the canary, environment: test }
credentials:
${[
  ...['in_place', 'taken', 'killed'].map((name) => one(name, 'pg', 'in-place')),
  alternating,
  ...['report', 'undo', 'decided'].map((name) => one(name, 'pg', 'in-place', 'report')),
  one('weak', 'pg-weak', 'in-place'),
  one('quoted', 'pg-quoting', 'in-place'),
  ...(mariadb ? [one('maria_in_place', 'maria', 'in-place'), one('maria_dual', 'maria', 'dual')] : []),
  ...(redis ? [one('redis_dual', 'redis', 'dual')] : []),
].join('\n')}
`
}

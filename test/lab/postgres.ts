import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { newId, Secret, sleep } from '../../src/kernel/index.ts'
import { type Account, databaseAccount, reachablePrograms } from '../../src/store/embedded.places.ts'
import { freePort, temporaryFolder } from './ports.ts'

const run = promisify(execFile)
const START_MS = 30_000
const STOP_MS = 10_000

/** What may be chosen when a laboratory PostgreSQL starts. */
export interface PostgresOptions {
  /** Default true; false makes start and commits faster and survives no power cut. */
  readonly fsync?: boolean
  /** Default 200. */
  readonly maxConnections?: number
  /** PEM texts; the server then offers TLS beside plain connections. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** More settings of postgresql.conf, by name. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real PostgreSQL 18 on a free port of 127.0.0.1, in a temporary folder, where every login needs SCRAM-SHA-256. */
export interface LabPostgres {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly superuser: { readonly account: string; readonly secret: Secret }
  /** Holds `data/` (the cluster) and `log`. Removed by `stop`. */
  readonly folder: string
  /** Of the postmaster at this moment. */
  readonly pid: number
  /** As superuser in database `postgres`, over one connection of application name `lab`. */
  query<Row extends object>(sql: string, params?: readonly unknown[]): Promise<Row[]>
  /** Fast shutdown and start on the same port; open connections are cut. */
  restart(): Promise<void>
  /** SIGSTOP to the postmaster and all its children: it accepts and does not answer. */
  pause(): void
  resume(): void
  /** Shuts down and removes the folder. Twice is harmless. */
  stop(): Promise<void>
}

/** Makes a new cluster and starts it. Also as root, where PostgreSQL itself runs as an unprivileged user. */
export async function startPostgres(options: PostgresOptions = {}): Promise<LabPostgres> {
  const account = databaseAccount()
  const bin = join(await reachablePrograms(account), 'bin')
  const folder = await temporaryFolder('rekey-lab-pg')
  if (account) chownSync(folder, account.uid, account.gid)
  const secret = Secret.fromText(`lab-${newId()}`)
  try {
    await makeCluster(bin, folder, secret, account)
    if (options.tls) writeTls(folder, options.tls, account)
    const port = await freePort()
    const server = await launch(bin, folder, port, options, account, secret)
    return new Lab(server, folder, port, secret, () => launch(bin, folder, port, options, account, secret))
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function makeCluster(bin: string, folder: string, secret: Secret, account: Account | null): Promise<void> {
  const pwfile = join(folder, 'pw')
  secret.revealText((text) => writeFileSync(pwfile, `${text}\n`, { mode: 0o600 }))
  if (account) chownSync(pwfile, account.uid, account.gid)
  const args = [
    '-D',
    join(folder, 'data'),
    '-U',
    'postgres',
    '-A',
    'scram-sha-256',
    `--pwfile=${pwfile}`,
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ]
  await run(join(bin, 'initdb'), args, { ...asUser(account), cwd: folder, env: { PATH: '/usr/bin:/bin', TZ: 'UTC' } })
  rmSync(pwfile)
}

function writeTls(folder: string, tls: { cert: string; key: string }, account: Account | null): void {
  for (const [name, text] of [
    ['server.crt', tls.cert],
    ['server.key', tls.key],
  ] as const) {
    const path = join(folder, 'data', name)
    writeFileSync(path, text, { mode: 0o600 })
    if (account) chownSync(path, account.uid, account.gid)
  }
}

const asUser = (account: Account | null) => (account ? { uid: account.uid, gid: account.gid } : {})

/** One running postmaster. */
interface Server {
  readonly pid: number
  stop(): Promise<void>
}

async function launch(
  bin: string,
  folder: string,
  port: number,
  options: PostgresOptions,
  account: Account | null,
  secret: Secret,
): Promise<Server> {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    max_connections: String(options.maxConnections ?? 200),
    fsync: options.fsync === false ? 'off' : 'on',
    ...(options.tls ? { ssl: 'on' } : {}),
    ...options.settings,
  }
  const args = ['-D', join(folder, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const log = openSync(join(folder, 'log'), 'a')
  // Its own process group: Ctrl-C in a terminal must not shut it down before its owner has decided so.
  const child = spawn(join(bin, 'postgres'), args, {
    ...asUser(account),
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const { pid } = child
  if (pid === undefined) throw new Error('PostgreSQL could not be spawned.')
  // An owner that dies without stop() takes the server with it, unless it was killed by SIGKILL.
  const last = () => void child.kill('SIGQUIT')
  process.once('exit', last)
  child.once('exit', () => process.off('exit', last))
  await answering(child, folder, port, secret)
  return { pid, stop: () => stopChild(child) }
}

async function answering(child: ChildProcess, folder: string, port: number, secret: Secret): Promise<void> {
  for (let waited = 0; ; waited += 25) {
    if (child.exitCode !== null || waited > START_MS) {
      child.kill('SIGQUIT')
      throw new Error(`PostgreSQL did not start: ${readFileSync(join(folder, 'log'), 'utf8').slice(-2000)}`)
    }
    try {
      return await (await superClient(port, secret)).end()
    } catch {
      await sleep(25)
    }
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGCONT')
  child.kill('SIGINT')
  const impatient = setTimeout(() => child.kill('SIGQUIT'), STOP_MS)
  await gone
  clearTimeout(impatient)
}

async function superClient(port: number, secret: Secret): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    database: 'postgres',
    user: 'postgres',
    password: () => secret.revealText((text) => text),
    application_name: 'lab',
    connectionTimeoutMillis: 5000,
  })
  client.on('error', () => {})
  await client.connect()
  return client
}

class Lab implements LabPostgres {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly folder: string
  readonly superuser: LabPostgres['superuser']
  #server: Server
  readonly #launch: () => Promise<Server>
  #client: Promise<pg.Client> | null = null
  /** Settles when the query before is answered: the library no longer queues them itself. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(server: Server, folder: string, port: number, secret: Secret, launchAgain: () => Promise<Server>) {
    this.#server = server
    this.folder = folder
    this.port = port
    this.superuser = { account: 'postgres', secret }
    this.#launch = launchAgain
  }

  get pid(): number {
    return this.#server.pid
  }

  async query<Row extends object>(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    const before = this.#last
    const answer = (async () => {
      await before
      this.#client ??= this.#connect()
      return (await this.#client).query<Row>(sql, [...params])
    })()
    this.#last = answer.catch(() => {})
    return (await answer).rows
  }

  /** The kept connection; forgotten when it ends or cannot be had, so that the next query opens another. */
  async #connect(): Promise<pg.Client> {
    const forget = () => {
      this.#client = null
    }
    try {
      const client = await superClient(this.port, this.superuser.secret)
      return client.once('end', forget)
    } catch (error) {
      forget()
      throw error
    }
  }

  async #disconnect(): Promise<void> {
    const client = await this.#client?.catch(() => null)
    this.#client = null
    await client?.end().catch(() => {})
  }

  async restart(): Promise<void> {
    await this.#disconnect()
    await this.#server.stop()
    this.#server = await this.#launch()
  }

  pause(): void {
    // The postmaster first: it can then make no new child that would be missed.
    for (const pid of [this.pid, ...childrenOf(this.pid)]) process.kill(pid, 'SIGSTOP')
  }

  resume(): void {
    for (const pid of [...childrenOf(this.pid), this.pid]) process.kill(pid, 'SIGCONT')
  }

  async stop(): Promise<void> {
    await this.#disconnect()
    await this.#server.stop()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Backends make sessions of their own, so a signal to the process group would miss them: the parent's number is what tells. */
function childrenOf(parent: number): number[] {
  const children: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) children.push(Number(name))
    } catch {
      // It ended while we looked.
    }
  }
  return children
}

import { execFile } from 'node:child_process'
import { chownSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { messageOf, newId, Secret, sleep } from '../../src/kernel/index.ts'
import { databaseAccount, reachablePrograms } from '../../src/store/embedded.places.ts'
import { KeptServer, type LabServer } from './kept.ts'
import { freePort, removeFolder, temporaryFolder } from './ports.ts'
import { launch, type Runner, type Running, writeOwned } from './program.ts'

const run = promisify(execFile)
const START_MS = 30_000
const LOOK_MS = 25

/** What may be chosen when a laboratory PostgreSQL starts. */
export interface PostgresOptions {
  /** Folder of `initdb` and `postgres`; default: those that the project brings along, PostgreSQL 18. */
  readonly programs?: string
  /** Default true; false makes start and commits faster and survives no power cut. */
  readonly fsync?: boolean
  /** Default 200. */
  readonly maxConnections?: number
  /** PEM texts; the server then offers TLS beside plain connections. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** More settings of postgresql.conf, by name. */
  readonly settings?: Readonly<Record<string, string>>
  /** A library that the server's processes load before all others. */
  readonly preload?: string
}

/** A real PostgreSQL on a free port of 127.0.0.1 whose cluster is `data/`, where every login needs SCRAM-SHA-256. */
export interface LabPostgres extends LabServer {
  /** As superuser in database `postgres`, over one connection of application name `lab`. */
  query<Row extends object>(sql: string, params?: readonly unknown[]): Promise<Row[]>
}

/** Programs of a PostgreSQL that somebody else installed. */
export interface OlderPostgres {
  readonly version: number
  /** Folder of `initdb` and `postgres`. */
  readonly programs: string
}

/** PostgreSQL 15 to 17 of this machine, oldest first, where Debian and the packages of postgresql.org put them. */
export function olderPostgres(): OlderPostgres[] {
  return [15, 16, 17].flatMap((version) => {
    const folders = [`/usr/lib/postgresql/${version}/bin`, `/usr/pgsql-${version}/bin`]
    const programs = folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')))
    return programs === undefined ? [] : [{ version, programs }]
  })
}

/** Makes a new cluster and starts it. Also as root, where PostgreSQL itself runs as an unprivileged user. */
export async function startPostgres(options: PostgresOptions = {}): Promise<LabPostgres> {
  const runner = databaseAccount()
  const bin = options.programs ?? join(await reachablePrograms(runner), 'bin')
  const folder = await temporaryFolder('rekey-lab-pg')
  if (runner) chownSync(folder, runner.uid, runner.gid)
  const superuser = { account: 'postgres', secret: Secret.fromText(`lab-${newId()}`) }
  try {
    await makeCluster(bin, folder, superuser.secret, runner)
    if (options.tls) {
      writeOwned(join(folder, 'data'), 'server.crt', options.tls.cert, runner)
      writeOwned(join(folder, 'data'), 'server.key', options.tls.key, runner)
    }
    const port = await freePort()
    const start = async (more: readonly string[]) => {
      const args = [...settingsOf(folder, port, options), ...more]
      const running = launch(join(bin, 'postgres'), args, {
        folder,
        log: join(folder, 'log'),
        runner,
        signals: SIGNALS,
        forks: true,
        ...(options.preload ? { preload: options.preload } : {}),
      })
      await answering(running, port, superuser.secret)
      return running
    }
    return new Lab({ port, folder, superuser, runner, start }, await start([]))
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/** Fast shutdown, which cuts connections; then immediate shutdown, which ends the children too. */
const SIGNALS = { stop: 'SIGINT', kill: 'SIGQUIT' } as const

async function makeCluster(bin: string, folder: string, secret: Secret, runner: Runner | null): Promise<void> {
  const pwfile = secret.revealText((text) => writeOwned(folder, 'pw', `${text}\n`, runner))
  const args = ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${pwfile}`]
  args.push('-E', 'UTF8', '--locale=C', '--no-sync')
  const user = runner ? { uid: runner.uid, gid: runner.gid } : {}
  await run(join(bin, 'initdb'), args, { ...user, cwd: folder, env: { PATH: '/usr/bin:/bin', TZ: 'UTC' } })
  rmSync(pwfile)
}

function settingsOf(folder: string, port: number, options: PostgresOptions): string[] {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    max_connections: String(options.maxConnections ?? 200),
    fsync: options.fsync === false ? 'off' : 'on',
    ...(options.tls ? { ssl: 'on' } : {}),
    ...options.settings,
  }
  return ['-D', join(folder, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

/** Begins a SCRAM login and stops before the client's last word, as somebody would who wants to outlive the value. */
export async function heldLogin(target: LabPostgres, user: string, password: string): Promise<{ finish(): Promise<pg.Client> }> {
  let release: () => void = () => undefined
  const asked = Promise.withResolvers<void>()
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  const connection = (client as unknown as { connection: { sendSCRAMClientFinalMessage(text: string): void } }).connection
  const send = connection.sendSCRAMClientFinalMessage.bind(connection)
  connection.sendSCRAMClientFinalMessage = (text) => {
    release = () => send(text)
    asked.resolve()
  }
  const connected = client.connect()
  await asked.promise
  return {
    async finish() {
      release()
      await connected
      return client
    },
  }
}

async function answering(running: Running, port: number, secret: Secret): Promise<void> {
  for (let waited = 0; ; waited += LOOK_MS) {
    try {
      return await (await superClient(port, secret)).end()
    } catch (error) {
      const ended = running.ended() ?? (waited > START_MS ? messageOf(error) : null)
      if (ended === null) {
        await sleep(LOOK_MS)
        continue
      }
      await running.stop()
      throw new Error(`PostgreSQL did not start: ${ended}`)
    }
  }
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

class Lab extends KeptServer<pg.Client> implements LabPostgres {
  /** Settles when the query before is answered: the library no longer queues them itself. */
  #last: Promise<unknown> = Promise.resolve()

  async query<Row extends object>(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    const before = this.#last
    const answer = (async () => {
      await before
      return (await this.client()).query<Row>(sql, [...params])
    })()
    this.#last = answer.catch(() => {})
    return (await answer).rows
  }

  protected async connect(broken: () => void): Promise<pg.Client> {
    return (await superClient(this.port, this.superuser.secret)).once('end', broken)
  }

  protected async disconnect(client: pg.Client): Promise<void> {
    await client.end().catch(() => {})
  }
}

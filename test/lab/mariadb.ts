import { execFile } from 'node:child_process'
import { chownSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import { messageOf, newId, Secret, sleep } from '../../src/kernel/index.ts'
import { mysqlNativeHash } from '../../src/seal/index.ts'
import { KeptServer, type LabServer } from './kept.ts'
import { freePort, removeFolder, temporaryFolder, waitForPort } from './ports.ts'
import { findProgram, launch, type Running, unprivileged, writeOwned } from './program.ts'

const run = promisify(execFile)
const START_MS = 30_000
const LOOK_MS = 25

/** A real MariaDB on a free port of 127.0.0.1. Its `root` accounts are removed: nobody else gets in. */
export interface LabMariadb extends LabServer {
  /** As superuser, over one kept connection. Values are parameters (prepared on the server). */
  query<Row extends object>(sql: string, params?: readonly (string | number)[]): Promise<Row[]>
}

/** Makes a new data folder and starts the server; null if MariaDB is not installed. As root, it runs as an unprivileged user. */
export async function startMariadb(): Promise<LabMariadb | null> {
  const [server, installer] = [findProgram('mariadbd'), findProgram('mariadb-install-db')]
  if (server === null || installer === null) return null
  const runner = unprivileged('mysql')
  const folder = await temporaryFolder('rekey-lab-mariadb')
  if (runner) chownSync(folder, runner.uid, runner.gid)
  const superuser = { account: 'lab_admin', secret: Secret.fromText(`lab-${newId()}`) }
  try {
    const data = join(folder, 'data')
    const install = ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db']
    await run(installer, install, {
      ...(runner ?? {}),
      cwd: folder,
      // A server that starts removes every temporary table of its temporary folder, also those of another that is being made.
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder, TMPDIR: folder, TZ: 'UTC' },
    })
    // Runs before the server listens, so that the accounts without password which the installer made never answer.
    const init = writeOwned(folder, 'init.sql', initialAccounts(superuser.account, mysqlNativeHash(superuser.secret)), runner)
    const port = await freePort()
    const start = async (more: readonly string[]) => {
      const args = ['--no-defaults', `--datadir=${data}`, `--port=${port}`, '--bind-address=127.0.0.1', `--socket=${join(folder, 's')}`]
      args.push(
        `--pid-file=${join(folder, 'pid')}`,
        `--tmpdir=${folder}`,
        '--innodb-buffer-pool-size=32M',
        '--max-connections=300',
        ...more,
      )
      const running = launch(server, args, { folder, log: join(folder, 'log'), runner })
      await answering(port, superuser, running)
      return running
    }
    const running = await start([`--init-file=${init}`])
    rmSync(init)
    return new Lab({ port, folder, superuser, runner, start }, running)
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/** The server listens before it is ready, and then resets some of the first connections: only a login tells. */
async function answering(port: number, { account: user, secret }: LabMariadb['superuser'], running: Running): Promise<void> {
  await waitForPort(port, START_MS, running.ended)
  for (let waited = 0; ; waited += LOOK_MS) {
    try {
      const connection = await secret.revealText((password) => mysql.createConnection({ host: '127.0.0.1', port, user, password }))
      return await connection.end()
    } catch (error) {
      const ended = running.ended() ?? (waited > START_MS ? messageOf(error) : null)
      if (ended !== null) throw new Error(`MariaDB did not start: ${ended}`)
      await sleep(LOOK_MS)
    }
  }
}

function initialAccounts(account: string, hash: string): string {
  return [
    `CREATE USER ${account}@'%' IDENTIFIED VIA mysql_native_password USING '${hash}';`,
    `GRANT ALL PRIVILEGES ON *.* TO ${account}@'%' WITH GRANT OPTION;`,
    `DELETE FROM mysql.global_priv WHERE User IN ('root', '');`,
    `FLUSH PRIVILEGES;\n`,
  ].join('\n')
}

class Lab extends KeptServer<mysql.Connection> implements LabMariadb {
  async query<Row extends object>(sql: string, params?: readonly (string | number)[]): Promise<Row[]> {
    const connection = await this.client()
    const [rows] = params === undefined ? await connection.query(sql) : await connection.execute(sql, [...params])
    return Array.isArray(rows) ? (rows as Row[]) : []
  }

  protected async connect(broken: () => void): Promise<mysql.Connection> {
    const { account: user, secret } = this.superuser
    const connection = await secret.revealText((password) => mysql.createConnection({ host: this.host, port: this.port, user, password }))
    connection.on('error', broken)
    return connection
  }

  protected async disconnect(connection: mysql.Connection): Promise<void> {
    await connection.end().catch(() => {})
  }
}

import type { EventEmitter } from 'node:events'
import { Socket } from 'node:net'
import pg from 'pg'
import { newId, type Secret } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'
import { GOODBYE_MS, gaveUp } from '../deadline.ts'
import { Intake, type Size } from '../intake.ts'
import { tlsOptions } from '../tls.ts'
import { guardLogin, rootNotProven } from './guard.ts'
import type { Statement } from './sql.ts'

/** How every connection of this process names itself to people who look at the target. Never trusted: anybody can call himself so. */
export const APPLICATION_PREFIX = 'rekey:'
/** The name itself, one for each process. */
export const APPLICATION = `${APPLICATION_PREFIX}${newId().slice(-12)}`

/** One connection to a target. `call` gives up by destroying the socket: a late answer can then never be taken for another's. */
export class Wire {
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #admitted: () => boolean
  readonly #intake: Intake
  #dead = false

  /** `statementTimeoutMs` makes the server itself give up too, so that nothing of ours runs on there after we left. */
  constructor(address: Address, account: string, secret: Secret, statementTimeoutMs: number) {
    this.#socket = new Socket()
    this.#client = new pg.Client({
      host: address.host,
      port: address.port,
      database: address.database ?? 'postgres',
      user: account,
      password: () => secret.revealText((text) => text),
      ssl: tlsOptions(address) ?? false,
      application_name: APPLICATION,
      stream: () => this.#socket,
      // The search path keeps objects that others made from standing in for the system's own. Stating options also keeps the
      // library from taking them from this process's environment. The isolation lets each statement of a script see what was committed
      // before that statement.
      options:
        '-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed ' +
        `-c statement_timeout=${Math.ceil(statementTimeoutMs)}`,
    })
    const end = (fault: Error) => void this.#socket.destroy(fault)
    this.#admitted = guardLogin(this.#client, address, end)
    this.#intake = new Intake(end)
    this.#count(address)
    const died = () => {
      this.#dead = true
    }
    this.#client.on('error', died).on('end', died)
    this.#socket.on('error', died).on('close', died)
  }

  /** Under TLS what counts is what comes out of it: the library swaps the stream, and says so. */
  #count({ tls }: Address): void {
    const { connection } = this.#client as unknown as { readonly connection: EventEmitter & { readonly stream: Socket } }
    const count = () => void connection.stream.on('data', (chunk: Buffer) => this.#intake.take(chunk.length))
    if (tls === 'off') count()
    else connection.once('sslconnect', count)
  }

  /** True once the connection cannot be used any more. */
  get dead(): boolean {
    return this.#dead
  }

  /** The server process that serves us; null before the login. */
  get pid(): number | null {
    const { processID } = this.#client as pg.Client & { readonly processID?: number | null }
    return processID ?? null
  }

  /**
   * Logs in. Rejects with the library's error, with `target_unreachable` when the signal aborts, or with `target_conflict` if the server
   * let us in without showing which one it is: nothing was said there but the login.
   */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#bounded(signal, 'small', () => this.#client.connect())
    if (this.#admitted()) return
    this.destroy()
    throw rootNotProven()
  }

  /** Several statements in one simple query, one round trip; resolves with the rows of the last. */
  async script<Row extends object>(signal: AbortSignal, text: string): Promise<Row[]> {
    return (await this.scripts<Row>(signal, text)).at(-1) ?? []
  }

  /** As `script`; resolves with the rows of each statement. */
  async scripts<Row extends object>(signal: AbortSignal, text: string): Promise<Row[][]> {
    const results = await this.#bounded(
      signal,
      'small',
      () => this.#client.query<Row>(text) as Promise<pg.QueryResult<Row> | pg.QueryResult<Row>[]>,
    )
    return (Array.isArray(results) ? results : [results]).map(({ rows }) => rows)
  }

  /** One statement with parameters, one round trip; the server plans it once for the connection. `statement` is a constant of `sql.ts`. */
  async query<Row extends object>(signal: AbortSignal, statement: Statement, params: readonly unknown[]): Promise<Row[]> {
    const { name, text, size = 'small' } = statement
    return (await this.#bounded(signal, size, () => this.#client.query<Row>({ name, text, values: [...params] }))).rows
  }

  /** Says goodbye and waits until the server has closed, so that it counts no connection of ours afterwards; then lets go anyway. */
  async end(): Promise<void> {
    if (!this.#socket.destroyed && !this.#socket.connecting && !this.#dead) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, GOODBYE_MS)
      })
      await Promise.race([this.#client.end().catch(() => {}), late])
      clearTimeout(timer)
    }
    this.destroy()
  }

  /** Closes at once, without a word. */
  destroy(): void {
    this.#dead = true
    this.#socket.destroy()
  }

  #bounded<T>(signal: AbortSignal, size: Size, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) {
      this.destroy()
      return Promise.reject(gaveUp('PostgreSQL'))
    }
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.destroy()
        reject(gaveUp('PostgreSQL'))
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#intake
        .during(size, work)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', abort))
    })
  }
}

import { connect, isIP, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type mysql from 'mysql2'
import { RekeyError, type Secret, sleep } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'
import { GOODBYE_MS, gaveUp } from '../deadline.ts'
import { byTurns, Intake, type Size } from '../intake.ts'
import { tlsOptions } from '../tls.ts'
import { faultName } from './faults.ts'
import { type Columns, type Command, notMariadb, type Packet, refuseLengths, rowOf, Words } from './words.ts'

/** Plugins that would hand the value over, encrypted with a key that the other side names, or in the clear. */
const refuse = (plugin: string) => () => () => {
  throw Object.assign(new Error('the server asked for the password itself'), { code: 'AUTH_SWITCH_PLUGIN_ERROR', plugin })
}
const CHALLENGES_ONLY = Object.fromEntries(
  ['caching_sha2_password', 'sha256_password', 'mysql_clear_password', 'dialog'].map((plugin) => [plugin, refuse(plugin)]),
)

/**
 * By default the library names the values of each row as the server says: with a column called `1023` every row of five bytes took 12 kB.
 * And it makes a program for each new answer, which it keeps for all connections.
 */
const PLAIN_ROWS = { rowsAsArray: true, disableEval: true, jsonStrings: true } as const

/** The library's connection, in its own words. */
interface Inside {
  readonly _command: Command | null | undefined
  readonly authorized: boolean
  handlePacket(packet?: Packet): void
}

type Params = readonly (string | number)[]
/** The names of all columns of an answer, in their order. */
type Named<Row> = readonly (keyof Row & string)[]

/** One connection. Everything it does is bounded by a signal; whoever gives up in the middle destroys it. */
export class Link {
  readonly #connection: mysql.Connection
  readonly #socket: Socket
  readonly #intake = new Intake(() => this.destroy())
  readonly #words = new Words((bytes) => this.#intake.keep(bytes))
  #dead = false

  private constructor(connection: mysql.Connection, socket: Socket) {
    this.#connection = connection
    this.#socket = socket
    // Without a listener, a server that goes away while we are idle would end the process.
    connection.on('error', () => {
      this.#dead = true
    })
    socket.on('close', () => {
      this.#dead = true
    })
    this.#count()
    this.#quieten()
  }

  /**
   * The library prints a line for each packet whose number is wrong, and its own stack for a length that is none; and it goes on reading
   * what is there after the end. Each is an error here before it is printed, and so is an answer of another form than was asked for.
   * Whoever says such a thing is left, and what is thrown where no command is under way, in the socket's own callback, ends the
   * connection and nothing else.
   */
  #quieten(): void {
    const inside = this.#connection as unknown as Inside
    const handle = inside.handlePacket
    inside.handlePacket = (packet) => {
      if (this.#dead || (packet !== undefined && !this.#words.pay(inside._command))) return
      if (packet !== undefined) refuseLengths(packet)
      try {
        handle.call(inside, packet)
        if (packet !== undefined) this.#words.look(inside._command, inside.authorized)
      } catch {
        this.#intake.refuse(notMariadb())
      }
    }
    // Thrown to the lines above, past the one that prints.
    this.#connection.on('warn', (warning) => {
      throw warning
    })
  }

  /** Under TLS what counts is what comes out of it: the library swaps the stream, and takes the listeners off the one before. */
  #count(): void {
    const inside = this.#connection as unknown as { readonly stream: Socket; startTLS(onSecure: unknown): void }
    const count = () => {
      const { stream } = inside
      stream.on('data', (chunk: Buffer) => {
        this.#intake.take(chunk.length)
        byTurns(stream, chunk)
      })
    }
    const startTls = inside.startTLS
    inside.startTLS = (onSecure) => {
      startTls.call(inside, onSecure)
      count()
    }
    count()
  }

  /** Connects and logs in, with no database chosen. Rejects with the library's error, or `target_unreachable` when given up. */
  static async open(address: Address, user: string, secret: Secret, signal: AbortSignal): Promise<Link> {
    if (signal.aborted) throw gaveUp('MariaDB')
    // Loaded when the first MariaDB is met: memory that an installation without one need not carry.
    const { createConnection } = await import('mysql2')
    const socket = connect({ host: address.host, port: address.port, noDelay: true })
    // The library's own listener comes a moment later.
    socket.on('error', () => {})
    const connection = secret.revealText((password) =>
      createConnection({
        user,
        password,
        stream: () => socket,
        charset: 'utf8mb4',
        connectAttributes: { program_name: 'rekey' },
        authPlugins: CHALLENGES_ONLY,
        flags: ['-LOCAL_FILES'],
        ...PLAIN_ROWS,
        ...secured(address),
      }),
    )
    const link = new Link(connection, socket)
    try {
      await link.#bounded(signal, 'small', (done) => connection.connect((error) => done(error, undefined)))
    } catch (error) {
      link.destroy()
      throw faultName(error) === 'HANDSHAKE_SSL_ERROR' ? (distrusted(connection) ?? error) : error
    }
    return link
  }

  /** The server's number of this session. */
  get id(): number {
    return this.#connection.threadId
  }

  get dead(): boolean {
    return this.#dead
  }

  /** One statement that answers no rows. */
  async run(signal: AbortSignal, sql: string): Promise<void> {
    await this.#ask(signal, 'small', [], sql)
  }

  /**
   * Rows of one statement, which has exactly these columns; an answer with others ends the connection. With `params` it is prepared on the
   * server, so that no value is ever quoted by us.
   */
  query<Row extends object>(signal: AbortSignal, columns: Named<Row>, sql: string, params?: Params): Promise<Row[]> {
    return this.#ask(signal, 'small', columns, sql, params)
  }

  /** As `query`, for a long answer. */
  list<Row extends object>(signal: AbortSignal, columns: Named<Row>, sql: string, params?: Params): Promise<Row[]> {
    return this.#ask(signal, 'large', columns, sql, params)
  }

  /** A long answer of one column, whatever it is called. */
  async texts(signal: AbortSignal, sql: string): Promise<string[]> {
    return (await this.#ask<{ text: string }>(signal, 'large', [null], sql)).map(({ text }) => text)
  }

  #ask<Row>(signal: AbortSignal, size: Size, columns: Columns, sql: string, params?: Params): Promise<Row[]> {
    return this.#bounded(signal, size, (done) => {
      this.#words.expect(columns)
      const answer = (error: unknown, rows: unknown) =>
        done(error, Array.isArray(rows) ? (rows.map((values: unknown[]) => rowOf(columns, values)) as Row[]) : [])
      if (params === undefined) this.#connection.query(sql, answer)
      else this.#connection.execute(sql, [...params], answer)
    })
  }

  /** Says goodbye and waits until the socket is closed. Never rejects. */
  async end(): Promise<void> {
    if (this.#socket.destroyed) return
    const closed = new AbortController()
    this.#socket.once('close', () => closed.abort())
    this.#connection.end(() => {})
    await sleep(GOODBYE_MS, closed.signal)
    this.destroy()
  }

  destroy(): void {
    this.#dead = true
    this.#connection.destroy()
    this.#socket.destroy()
  }

  /** The library forgets to answer when a connection is destroyed, so the signal and the socket's end answer as well. */
  #bounded<T>(signal: AbortSignal, size: Size, start: (done: (error: unknown, value: T) => void) => void): Promise<T> {
    const work = () => this.#answered(signal, start)
    return this.#intake.during(size, work)
  }

  #answered<T>(signal: AbortSignal, start: (done: (error: unknown, value: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = (act: () => void) => {
        signal.removeEventListener('abort', abort)
        this.#socket.off('close', closed)
        act()
      }
      const abort = () => {
        settle(() => reject(gaveUp('MariaDB')))
        this.destroy()
      }
      // A moment later, so that an error which the server sent before it closed is heard first.
      const closed = () => void setImmediate(() => settle(() => reject(lost())))
      if (signal.aborted) return abort()
      if (this.#socket.destroyed) return reject(lost())
      signal.addEventListener('abort', abort, { once: true })
      this.#socket.once('close', closed)
      start((error, value) => settle(() => (error ? reject(error) : resolve(value))))
    })
  }
}

function lost(): RekeyError {
  return new RekeyError('target_unreachable', 'The connection to MariaDB broke.', { detail: 'connection lost' })
}

/** What Node found wrong with the server's certificate, or null: the library says only that TLS failed. */
function distrusted(connection: mysql.Connection): Error | null {
  const { authorizationError } = (connection as unknown as { stream: Partial<TLSSocket> }).stream
  if (!authorizationError) return null
  return Object.assign(new Error('the certificate of the server is not trusted'), { code: String(authorizationError) })
}

/**
 * The library takes `host` for nothing but the name in the certificate, and for an address it would compare `localhost`. With a dot at its
 * end, which the comparison takes off, an address passes as a name and is compared with the addresses that the certificate carries.
 */
function secured(address: Address): Pick<mysql.ConnectionOptions, 'host' | 'ssl'> {
  const options = tlsOptions(address)
  if (options === null) return {}
  const host = isIP(address.host) === 0 ? address.host : `${address.host}.`
  const { rejectUnauthorized, ca } = options
  return { host, ssl: { rejectUnauthorized, verifyIdentity: address.tls === 'verify-full', ...(ca === undefined ? {} : { ca }) } }
}

import { newId, RekeyError, type Secret } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'
import type { Size } from '../intake.ts'
import { Answer, type AnyRow, errorOf, exchange, isAside, type Shape } from './answer.ts'
import { int16, int32, message, notPostgres } from './channel.ts'
import { faultName } from './faults.ts'
import { NOT_PROVEN, rootNotProven } from './guard.ts'
import { APPLICATION_PREFIX, Login } from './login.ts'
import type { Statement } from './sql.ts'

/** What root connections of this process call themselves: one name for each process. */
const APPLICATION = `${APPLICATION_PREFIX}${newId().slice(-12)}`

/** A parameter of a statement; a list is one of numbers. */
export type Parameter = string | number | null | readonly number[]

/** What the columns of a row must be. */
type ShapeOf<Row> = { readonly [Name in keyof Row]: Shape[string] }

/**
 * One root connection to a target. Everything is bounded by a signal: whoever gives up destroys the connection, so that a late answer can
 * never be taken for another's.
 *
 * It speaks the protocol itself. The library was used before: it reads what comes inside the socket's own callback, where nobody can catch
 * what it throws, and looks for ends of texts that never come, so that six bytes of a hostile server ended or froze the whole process.
 */
export class Wire {
  readonly #login: Login
  /** Names of the statements that the server has parsed. */
  readonly #parsed = new Set<string>()
  #busy = false
  /** What the server did wrong while nothing was asked of it. */
  #fault: Error | null = null

  /** `statementTimeoutMs` makes the server itself give up too, so that nothing of ours runs on there after we left. */
  constructor(address: Address, account: string, secret: Secret, statementTimeoutMs: number) {
    this.#login = new Login(address, account, secret, {
      application: APPLICATION,
      // The search path keeps objects that others made from standing in for the system's own. The isolation lets each statement of a
      // script see what was committed before that statement.
      options:
        '-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed ' +
        `-c statement_timeout=${Math.ceil(statementTimeoutMs)}`,
    })
  }

  /** True once the connection cannot be used any more. */
  get dead(): boolean {
    return this.#login.channel.closed
  }

  /** The server process that serves us; null before the login. */
  get pid(): number | null {
    return this.#login.pid
  }

  /**
   * Logs in. Rejects with what the server or the way failed with, with `target_unreachable` when the signal aborts, or with
   * `target_conflict` if the server let us in without showing which one it is: nothing was said there but the login.
   */
  async connect(signal: AbortSignal): Promise<void> {
    try {
      await this.#login.channel.during('small', () => this.#login.connect(signal))
    } catch (error) {
      throw faultName(error) === NOT_PROVEN ? rootNotProven() : error
    }
    if (!this.#login.serverProven) {
      this.destroy()
      throw rootNotProven()
    }
    this.#rest()
  }

  /** Several statements in one simple query, one round trip; resolves with the rows of the last, if they have this shape. */
  async script<Row extends object>(signal: AbortSignal, text: string, shape: ShapeOf<Row>): Promise<Row[]> {
    return (await this.scripts<Row>(signal, text, [shape as Shape])).at(-1) ?? []
  }

  /** As `script`; resolves with the rows of each statement. Of those that have none of the shapes, no rows. */
  async scripts<Row extends object>(signal: AbortSignal, text: string, shapes: readonly Shape[]): Promise<Row[][]> {
    const answer = this.#answer(false, shapes)
    return (await this.#ask(signal, 'small', message('Q', `${text}\0`), answer)) as Row[][]
  }

  /**
   * One statement with parameters, one round trip; the server plans it once for the connection. `statement` is a constant of `sql.ts`.
   * The rows are what it says they are.
   */
  async query<Row extends object>(signal: AbortSignal, statement: Statement, params: readonly Parameter[]): Promise<Row[]> {
    const { name, size = 'small', row } = statement
    const answer = this.#answer(true, [row])
    const known = this.#parsed.has(name)
    const request = Buffer.concat([known ? Buffer.alloc(0) : parse(statement), run(name, params)])
    const [rows = []] = await this.#ask(signal, size, request, answer)
    if (answer.parsed) this.#parsed.add(name)
    return rows as Row[]
  }

  #answer(prepared: boolean, shapes: readonly Shape[]): Answer {
    return new Answer(prepared, shapes, (bytes) => this.#login.channel.keep(bytes))
  }

  /** Says goodbye and waits until the server has closed, so that it counts no connection of ours afterwards; then lets go anyway. */
  end(): Promise<void> {
    return this.#login.end()
  }

  /** Closes at once, without a word. */
  destroy(): void {
    this.#login.channel.destroy()
  }

  /** An error of the server leaves the connection as it is; what is no answer ends it. */
  async #ask(signal: AbortSignal, size: Size, request: Buffer, answer: Answer): Promise<AnyRow[][]> {
    const { channel } = this.#login
    if (this.#busy) throw new RekeyError('internal', 'A root connection to PostgreSQL was asked two things at once.')
    if (this.#fault !== null) throw this.#fault
    this.#busy = true
    try {
      await channel.during(size, () => channel.bounded(signal, () => exchange(channel, request, answer)))
    } finally {
      this.#busy = false
      this.#rest()
    }
    return answer.results
  }

  /** Between calls nothing may come but what is said aside. An answer that nobody asked for would be taken for that to the next call. */
  #rest(): void {
    const { channel } = this.#login
    const look = () => {
      if (this.#busy) return
      try {
        for (let next = channel.take(); next !== null; next = channel.take()) {
          if (!isAside(next)) throw next.kind === 'E' ? errorOf(next.body) : notPostgres()
        }
      } catch (error) {
        this.#fault ??= error as Error
        this.destroy()
      }
    }
    channel.rest(look)
    look()
  }
}

function parse({ name, text }: Statement): Buffer {
  return message('P', `${name}\0${text}\0`, int16(0))
}

/** Bind, Describe, Execute, Sync: the unnamed portal, all rows, everything as text. */
function run(name: string, params: readonly Parameter[]): Buffer {
  const values = params.flatMap((param) => {
    if (param === null) return [int32(-1)]
    const bytes = Buffer.from(Array.isArray(param) ? `{${param.join(',')}}` : String(param))
    return [int32(bytes.length), bytes]
  })
  const bind = message('B', `\0${name}\0`, int16(0), int16(params.length), ...values, int16(0))
  return Buffer.concat([bind, message('D', 'P\0'), message('E', '\0', int32(0)), message('S')])
}

import { type Channel, type Message, notPostgres } from './channel.ts'

/** The types that our statements answer with, by their numbers in pg_type; what is of any other type stays a text. */
const BOOL = 16
const INT2 = 21
const INT4 = 23
const WHOLE = /^-?\d{1,10}$/
const SQLSTATE = /^[0-9A-Z]{5}$/
/** Behind a column's name: table, number in it, type, length of the type, modifier, format. */
const BEHIND_NAME = 18
/** Above what any statement of ours has in columns, and any script of ours in statements. */
const MOST_COLUMNS = 16
const MOST_RESULTS = 64
/** PostgreSQL's errors have 18 fields at most. */
const MOST_FIELDS = 64
/** What a row takes besides its texts, bytes. */
const ROW = 128
/** A value of it, bytes. */
const CELL = 40

/** What a column of an answer must be. */
export type Kind = 'number' | 'string' | 'boolean' | 'string or null'

/** The columns of an answer in their order, each with what its values must be. */
export type Shape = Readonly<Record<string, Kind>>

interface Column {
  readonly name: string
  readonly kind: Kind
}

/** A row that has its shape. */
export type AnyRow = Record<string, unknown>

/** A body read from its beginning. Throws `NOT_POSTGRESQL` where it ends too early. */
class Reader {
  readonly #body: Buffer
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  #step(bytes: number): number {
    const at = this.#at
    if (bytes < 0 || at + bytes > this.#body.length) throw notPostgres()
    this.#at += bytes
    return at
  }

  int16(): number {
    return this.#body.readInt16BE(this.#step(2))
  }

  int32(): number {
    return this.#body.readInt32BE(this.#step(4))
  }

  bytes(count: number): Buffer {
    const at = this.#step(count)
    return this.#body.subarray(at, at + count)
  }

  text(bytes: number): string {
    const at = this.#step(bytes)
    return this.#body.toString('utf8', at, at + bytes)
  }

  /** A text up to the zero byte that must end it. */
  line(): string {
    const end = this.#body.indexOf(0, this.#at)
    if (end < 0) throw notPostgres()
    const text = this.text(end - this.#at)
    this.#at++
    return text
  }

  /** Nothing may be left. */
  end(): void {
    if (this.#at !== this.#body.length) throw notPostgres()
  }
}

/** A column as the server announces it. */
interface Said {
  readonly name: string
  readonly type: number
}

function announced(body: Buffer): Said[] {
  const reader = new Reader(body)
  const count = reader.int16()
  if (count < 0 || count > MOST_COLUMNS) throw notPostgres()
  const columns: Said[] = []
  for (let at = 0; at < count; at++) {
    const name = reader.line()
    const rest = reader.bytes(BEHIND_NAME)
    // Every format that we ask for is text, which is 0.
    if (rest.readInt16BE(16) !== 0) throw notPostgres()
    columns.push({ name, type: rest.readInt32BE(6) })
  }
  reader.end()
  return columns
}

/** Shapes are constants of our statements; their columns are listed once. */
const listed = new WeakMap<Shape, readonly Column[]>()

function columnsOf(shape: Shape): readonly Column[] {
  const known = listed.get(shape)
  if (known !== undefined) return known
  const columns = Object.entries(shape).map(([name, kind]) => ({ name, kind }))
  listed.set(shape, columns)
  return columns
}

/** Whether these are the columns that the server announces. */
function same(columns: readonly Column[], said: readonly Said[]): boolean {
  if (columns.length !== said.length) return false
  return said.every(({ name, type }, at) => {
    const column = columns[at]
    return column !== undefined && column.name === name && fits(column.kind, type)
  })
}

function fits(kind: Kind, type: number): boolean {
  if (kind === 'boolean') return type === BOOL
  return (kind === 'number') === (type === INT4 || type === INT2) && type !== BOOL
}

/**
 * By names that we declared: with the server's own, each row of eleven bytes whose column it called `1023` took 12 kB.
 */
function rowOf(columns: readonly Column[], body: Buffer): AnyRow {
  const reader = new Reader(body)
  // Else a few bytes each would make rows of thousands of columns.
  if (reader.int16() !== columns.length) throw notPostgres()
  const row: AnyRow = {}
  for (const { name, kind } of columns) {
    const length = reader.int32()
    if (length === -1 && kind !== 'string or null') throw notPostgres()
    row[name] = length === -1 ? null : decoded(kind, reader.text(length))
  }
  reader.end()
  return row
}

function decoded(kind: Kind, text: string): unknown {
  if (kind === 'boolean') {
    if (text !== 't' && text !== 'f') throw notPostgres()
    return text === 't'
  }
  if (kind !== 'number') return text
  if (!WHOLE.test(text)) throw notPostgres()
  return Number(text)
}

/**
 * An ErrorResponse: fields of one letter and a text, as an error with `severity` and the SQLSTATE as `code`. Nothing else is kept: the
 * text may quote anything. Throws `NOT_POSTGRESQL` for one without these, as none of PostgreSQL is.
 */
export function errorOf(body: Buffer): Error {
  const reader = new Reader(body)
  const fields = new Map<string, string>()
  for (let field = reader.line(); field !== ''; field = reader.line()) {
    if (fields.size >= MOST_FIELDS || fields.has(field.slice(0, 1))) throw notPostgres()
    fields.set(field.slice(0, 1), field.slice(1))
  }
  reader.end()
  const [severity, code] = [fields.get('S'), fields.get('C')]
  if (severity === undefined || code === undefined || !SQLSTATE.test(code)) throw notPostgres()
  return Object.assign(new Error('PostgreSQL refused it.'), { severity, code })
}

/** The number of the server process, of a BackendKeyData. */
export function processOf(body: Buffer): number {
  if (body.length < 8) throw notPostgres()
  return body.readInt32BE()
}

/** Whether a server may say this at any time, asked or not: a notice, a parameter, a notification. None of it means anything to us. */
export function isAside({ kind }: Message): boolean {
  return kind === 'N' || kind === 'S' || kind === 'A'
}

/** The columns of rows that nobody reads. */
const UNREAD: readonly Column[] = []

/** What a server answers to a simple query or to our one round of the extended kind, put together message by message. */
export class Answer {
  readonly #prepared: boolean
  readonly #shapes: readonly Shape[]
  readonly #keep: (bytes: number) => void
  /** Null: no rows may come. */
  #columns: readonly Column[] | null = null
  #rows: AnyRow[] = []
  readonly #results: AnyRow[][] = []
  #error: Error | null = null
  /** The server said that it has parsed the statement. */
  parsed = false

  /**
   * `prepared`: the answer to a statement by the extended protocol, which has the first of the shapes. Of a script, rows of the statements
   * that have one of them are kept, and those of the others are not. `keep` is told how much memory a row takes, and throws if that is
   * too much.
   */
  constructor(prepared: boolean, shapes: readonly Shape[], keep: (bytes: number) => void) {
    this.#prepared = prepared
    this.#shapes = shapes
    this.#keep = keep
  }

  /** What the server refused it with. */
  get error(): Error | null {
    return this.#error
  }

  /** The rows of each statement, once `add` told that the answer is whole. Throws what the server refused it with. */
  get results(): AnyRow[][] {
    if (this.#error !== null) throw this.#error
    if (this.#results.length === 0 || (this.#prepared && this.#results.length > 1)) throw notPostgres()
    return this.#results
  }

  /** True if that was the end. Throws `NOT_POSTGRESQL` for what is malformed, or no part of such an answer. */
  add(message: Message): boolean {
    const { kind, body } = message
    if (kind === 'Z') {
      if (body.length !== 1) throw notPostgres()
      return true
    }
    if (kind === 'D') this.#addRow(body)
    else if (kind === 'T') this.#announce(body)
    else if (kind === 'C' || kind === 'I') this.#close()
    else if (kind === 'E') this.#error ??= errorOf(body)
    else if (kind === '1' && this.#prepared) this.parsed = true
    else if (!(isAside(message) || (this.#prepared && (kind === '2' || kind === 'n')))) throw notPostgres()
    return false
  }

  #announce(body: Buffer): void {
    const said = announced(body)
    for (const shape of this.#shapes) {
      const columns = columnsOf(shape)
      if (same(columns, said)) {
        this.#columns = columns
        return
      }
    }
    if (this.#prepared) throw notPostgres()
    this.#columns = UNREAD
  }

  #addRow(body: Buffer): void {
    if (this.#columns === null) throw notPostgres()
    if (this.#columns === UNREAD) return
    this.#keep(ROW + CELL * this.#columns.length + body.length)
    this.#rows.push(rowOf(this.#columns, body))
  }

  #close(): void {
    if (this.#results.length === MOST_RESULTS) throw notPostgres()
    this.#results.push(this.#rows)
    this.#rows = []
    this.#columns = null
  }
}

/** Sends a query and hears it out. Rejects when no whole answer comes: with the server's error if it said one before it closed. */
export async function exchange(channel: Channel, request: Buffer, answer: Answer): Promise<Answer> {
  channel.write(request)
  for (;;) {
    const next = channel.take()
    if (next !== null) {
      if (answer.add(next)) return answer
    } else {
      await channel.more().catch((closed: unknown) => {
        throw answer.error ?? closed
      })
    }
  }
}

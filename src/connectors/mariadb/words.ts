import { NOT_MARIADB } from './faults.ts'

/** The columns that a statement answers with, in order; null for one of any name. None: it answers no rows. */
export type Columns = readonly (string | null)[]

/** Above what any answer of ours has, and any statement in parameters. */
const MOST_COLUMNS = 16
/** A login of ours is greeted, may be told another way to log in, and is let in. */
const MOST_OF_LOGIN = 16
/** What a row takes besides its texts, bytes: as the library makes it, and as we hand it on. */
const ROW = 320
/** A value of it, bytes. */
const CELL = 48

/**
 * Types that our statements answer with (manual, "Result Set Packets", field types): numbers, and texts of any length. Of others the
 * library makes dates, shapes, or whatever a text of JSON says.
 */
const NUMBERS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 246]
const TEXTS: readonly number[] = [15, 249, 250, 251, 252, 253, 254]
/** The character set of bytes: of such a text the library makes a view of all that came with it. */
const BYTES = 63

/** The fault of a server that says what no MariaDB says to us. */
export function notMariadb(): Error {
  return Object.assign(new Error('What answers does not speak as MariaDB does.'), { code: NOT_MARIADB })
}

/** What the library reads the server's words from; it uses one again and again. */
export interface Packet {
  readLengthCodedNumberExt(tag: number | undefined, ...rest: unknown[]): unknown
}

interface Field {
  readonly name: string
  readonly columnType: number
  readonly characterSet: number
}

/** What the library is at, in its own words: a login, a statement, or the preparation of one. */
export interface Command {
  /** Null: the server wants a file of ours. */
  readonly _fieldCount?: number | null
  readonly _resultIndex?: number
  readonly _fields?: readonly (readonly Field[] | undefined)[]
  readonly fieldCount?: number
  readonly parameterCount?: number
}

/** First bytes of a length or number that is longer than they: none, or in the next 2, 3 or 8 bytes. */
const LONGER = new Set<number | undefined>([0xfb, 0xfc, 0xfd, 0xfe])
const refusing = new WeakSet<Packet>()

/** Makes the packet throw for any other first byte, as it would have done after printing. */
export function refuseLengths(packet: Packet): void {
  if (refusing.has(packet)) return
  refusing.add(packet)
  const read = packet.readLengthCodedNumberExt
  packet.readLengthCodedNumberExt = (tag, ...rest) => {
    if (!LONGER.has(tag)) throw notMariadb()
    return read.call(packet, tag, ...rest)
  }
}

/**
 * Looks at what the library made of each packet before it gets the next: a server announces columns, names and types of its own, and
 * the library would read as many rows of that as may come.
 */
export class Words {
  readonly #keep: (bytes: number) => boolean
  #columns: Columns = []
  #greetings = 0
  #seen: unknown = null

  /** `keep` is told how much memory a packet may take, and says whether it may. */
  constructor(keep: (bytes: number) => boolean) {
    this.#keep = keep
  }

  /** The next statement answers with these columns. */
  expect(columns: Columns): void {
    this.#columns = columns
    this.#seen = null
  }

  /** Before the library reads a packet. False: it must not. */
  pay(command: Command | null | undefined): boolean {
    return this.#keep(ROW + CELL * (command?._fieldCount ?? 0))
  }

  /** After it. Throws if it must get no other. */
  look(command: Command | null | undefined, authorized: boolean): void {
    if (!authorized && ++this.#greetings > MOST_OF_LOGIN) throw notMariadb()
    if (!command) return
    const { _fieldCount: count = 0, _resultIndex: result = 0, fieldCount = 0, parameterCount = 0 } = command
    if (count === null || result > 0 || Math.max(fieldCount, parameterCount) > MOST_COLUMNS) throw notMariadb()
    if (count === 0) return
    if (count !== this.#columns.length) throw notMariadb()
    const fields = command._fields?.[0]
    if (fields === undefined || fields.length < count || fields === this.#seen) return
    if (!fields.every((field, at) => fits(field, this.#columns[at]))) throw notMariadb()
    this.#seen = fields
  }
}

function fits({ name, columnType, characterSet }: Field, wanted: string | null | undefined): boolean {
  if (wanted !== null && name !== wanted) return false
  return NUMBERS.includes(columnType) || (TEXTS.includes(columnType) && characterSet !== BYTES)
}

/** The row of these values, under the names that the caller knows it by. */
export function rowOf(columns: Columns, values: readonly unknown[]): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (const [at, name] of columns.entries()) row[name ?? 'text'] = values[at]
  return row
}

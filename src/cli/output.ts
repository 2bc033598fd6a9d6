import { type ErrorExtra, INVISIBLE, printable, RekeyError } from '../kernel/index.ts'
import { printableLines } from './text.ts'

/** A column of a table: its head and how an item fills it. Null and undefined show as `-`. */
export interface Column<T> {
  readonly head: string
  readonly of: (item: T) => string | number | null | undefined
  readonly right?: boolean
}

type Value = string | number | boolean | null | undefined

/** Results go to standard output, everything else to standard error. Names of others are made harmless to the terminal here. */
export class Output {
  /** One JSON object a line instead of text for people. */
  readonly json: boolean
  readonly #color: boolean

  constructor(options: { readonly json: boolean; readonly color: boolean }) {
    this.json = options.json
    this.#color = options.color
  }

  /** Whether ANSI colours may be written to the stream. */
  colors(stream: 'stdout' | 'stderr'): boolean {
    return this.#color && !this.json && process[stream].isTTY === true
  }

  /** A line of the result, already harmless. */
  line(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  /** A result as one line of JSON, in which invisible characters of names are escaped. */
  object(value: unknown): void {
    process.stdout.write(`${harmlessJson(value)}\n`)
  }

  /** A line beside the result, on standard error. */
  note(text: string): void {
    process.stderr.write(`${text}\n`)
  }

  /** Something that the user should mend; never an error. */
  warn(text: string): void {
    if (this.json) process.stderr.write(`${harmlessJson({ warning: text })}\n`)
    else for (const line of printableLines(`rekey: warning: ${text}`)) process.stderr.write(`${line}\n`)
  }

  /** The whole list: one JSON object a line, or a table. `none` is said on standard error when there is nothing. */
  list<T>(items: readonly T[], columns: readonly Column<T>[], none: string): void {
    if (this.json) for (const item of items) this.object(item)
    else if (items.length === 0) this.note(none)
    else for (const line of tableLines(items, columns, this.colors('stdout'))) this.line(line)
  }

  /** One thing: as JSON the value itself, else a line for each field that has one. */
  fields(value: unknown, fields: readonly (readonly [string, Value])[]): void {
    if (this.json) {
      this.object(value)
      return
    }
    const width = Math.max(...fields.map(([name]) => name.length))
    for (const [name, field] of fields) {
      if (field !== null && field !== undefined && field !== '') this.line(`${name.padEnd(width)}  ${printable(String(field))}`)
    }
  }
}

/** The lines of a table, two blanks between columns, none at the end. `bold` sets the head off. */
export function tableLines<T>(items: readonly T[], columns: readonly Column<T>[], bold: boolean): string[] {
  const cells = items.map((item) => columns.map(({ of }) => printable(String(of(item) ?? '-'))))
  const heads = columns.map(({ head }) => head)
  const widths = heads.map((head, i) => cells.reduce((most, row) => Math.max(most, widthOf(row[i])), head.length))
  const render = (row: readonly string[]) =>
    row
      .map((cell, i) => {
        const blanks = ' '.repeat((widths[i] ?? 0) - widthOf(cell))
        return columns[i]?.right ? blanks + cell : cell + blanks
      })
      .join('  ')
      .trimEnd()
  const head = render(heads)
  return [bold ? `\u001b[1m${head}\u001b[0m` : head, ...cells.map(render)]
}

function widthOf(text: string | undefined): number {
  return text === undefined ? 0 : Array.from(text).length
}

const INVISIBLES = new RegExp(INVISIBLE, 'gu')

/** JSON escapes control characters by itself; what hides text or turns its direction is escaped here. It reads back as it was. */
export function harmlessJson(value: unknown): string {
  const escaped = (text: string) =>
    text
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join('')
  return JSON.stringify(value).replace(INVISIBLES, escaped)
}

type Fault = NonNullable<ErrorExtra['faults']>[number]

/** `fleet.yaml:12: what is wrong`. */
function faultLine({ path, line, message }: Fault): string {
  const place = [path, line].filter((part) => part !== undefined).join(':')
  return place === '' ? message : `${place}: ${message}`
}

/**
 * What is shown of an error: for programs one JSON object, for people its message, faults and hint. Of an error that is not ours only
 * its kind and where it arose: the text of a library may quote what it was given, and that may have been a secret.
 */
export function errorLines(error: unknown, json: boolean): string[] {
  const known = error instanceof RekeyError ? error : foreign(error)
  const { code, message, hint, faults } = known
  if (json) return [harmlessJson({ error: code, message, hint, faults })]
  const unsaid = (faults ?? []).filter((fault) => !message.includes(fault.message))
  return [
    ...printableLines(`rekey: ${message}`),
    ...unsaid.map((fault) => `  ${printable(faultLine(fault))}`),
    ...(hint === undefined ? [] : printableLines(`hint: ${hint}`)),
  ]
}

function foreign(error: unknown): RekeyError {
  const { name, stack = '' } = error instanceof Error ? error : new Error('not an error')
  const frame = stack.split('\n').find((line) => /^ {4}at /.test(line))
  return new RekeyError('internal', `Rekey failed: ${name}${frame === undefined ? '' : ` ${frame.trim()}`}.`, {
    hint: 'This is a fault of Rekey.',
  })
}

/**
 * The filter language of RFC 7644 section 3.4.2.2, and the paths of PATCH (section 3.5.2), which hold a filter. Bounded in length,
 * terms and depth; every token is read once. Names are kept as written: `bindFilter` finds out what they mean.
 */
import { invalidFilter, invalidPath, ScimError } from './error.ts'

export type CompareOp = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le'

/** A filter as it was written. */
export type Filter =
  | { readonly op: 'and' | 'or'; readonly filters: readonly Filter[] }
  | { readonly op: 'not'; readonly filter: Filter }
  | { readonly op: 'pr'; readonly path: string }
  | { readonly op: 'has'; readonly path: string; readonly filter: Filter }
  | { readonly op: CompareOp; readonly path: string; readonly value: string | number | boolean | null }

/** A path of PATCH as it was written: `emails[type eq "work"].value` has all three parts. */
export interface WrittenPath {
  readonly path: string
  readonly filter: Filter | null
  readonly sub: string | null
}

/** Most characters, comparisons and open brackets of one filter. */
export const FILTER_BOUNDS = { chars: 4_096, terms: 64, depth: 24 } as const

const OPS: ReadonlySet<string> = new Set<CompareOp>(['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'])
/** Blank, bracket, text, number, word. Sticky, and no part can match in two ways: linear in the length. */
const TOKEN = /[ \t]+|([()[\]])|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.:$-]))|([A-Za-z$.][\w$.:-]*)/y

interface Token {
  readonly kind: 'bracket' | 'text' | 'number' | 'word' | 'end'
  readonly text: string
}
const END: Token = { kind: 'end', text: '' }

function tokensOf(text: string): Token[] {
  if (text.length > FILTER_BOUNDS.chars) throw invalidFilter(`A filter has at most ${FILTER_BOUNDS.chars} characters.`)
  const tokens: Token[] = []
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at
    const match = TOKEN.exec(text)
    if (match === null) throw invalidFilter(`The filter cannot be read from character ${at + 1} on.`)
    const [whole, bracket, quoted, number, word] = match
    at += whole.length
    if (bracket !== undefined) tokens.push({ kind: 'bracket', text: bracket })
    else if (quoted !== undefined) tokens.push({ kind: 'text', text: quoted })
    else if (number !== undefined) tokens.push({ kind: 'number', text: number })
    else if (word !== undefined) tokens.push({ kind: 'word', text: word })
  }
  return tokens
}

/** Reads a whole filter. Throws `invalidFilter`. */
export function parseFilter(text: string): Filter {
  const parser = new Parser(tokensOf(text))
  const filter = parser.either(0)
  parser.end()
  return filter
}

/** Reads a path of PATCH. Throws `invalidPath`; whether the names exist is not looked at. */
export function parsePath(text: string): WrittenPath {
  try {
    return readPath(text)
  } catch (error) {
    throw error instanceof ScimError ? invalidPath(error.message.replace('filter', 'path')) : error
  }
}

function readPath(text: string): WrittenPath {
  const parser = new Parser(tokensOf(text))
  const path = parser.word()
  if (!parser.takes('[')) {
    parser.end()
    return { path, filter: null, sub: null }
  }
  const filter = parser.either(1)
  parser.close(']')
  const sub = parser.atEnd() ? null : parser.word()
  parser.end()
  if (sub !== null && !/^\.[^.]+$/.test(sub)) throw invalidFilter('After a filter in a path comes a point and one name.')
  return { path, filter, sub: sub === null ? null : sub.slice(1) }
}

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #terms = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? END
  }

  #next(): Token {
    const token = this.#peek()
    this.#at++
    return token
  }

  #keyword(word: string): boolean {
    const token = this.#peek()
    if (token.kind !== 'word' || token.text.toLowerCase() !== word) return false
    this.#at++
    return true
  }

  takes(bracket: string): boolean {
    const token = this.#peek()
    if (token.kind !== 'bracket' || token.text !== bracket) return false
    this.#at++
    return true
  }

  close(bracket: string): void {
    if (!this.takes(bracket)) throw invalidFilter(`The filter misses a ${bracket}.`)
  }

  atEnd(): boolean {
    return this.#peek().kind === 'end'
  }

  end(): void {
    if (!this.atEnd()) throw invalidFilter('The filter goes on where it should end.')
  }

  word(): string {
    const token = this.#next()
    if (token.kind !== 'word') throw invalidFilter('The filter misses the name of an attribute.')
    return token.text
  }

  /** `or` binds weakest (RFC 7644 section 3.4.2.2, table 5). */
  either(depth: number): Filter {
    if (depth > FILTER_BOUNDS.depth) throw invalidFilter(`A filter has at most ${FILTER_BOUNDS.depth} brackets open.`)
    return this.#joined('or', () => this.#joined('and', () => this.#one(depth)))
  }

  #joined(op: 'and' | 'or', part: () => Filter): Filter {
    const first = part()
    const filters = [first]
    while (this.#keyword(op)) filters.push(part())
    return filters.length === 1 ? first : { op, filters }
  }

  #one(depth: number): Filter {
    if (this.takes('(')) return this.#bracketed(depth)
    const path = this.word()
    if (path.toLowerCase() === 'not' && this.takes('(')) return { op: 'not', filter: this.#bracketed(depth) }
    if (++this.#terms > FILTER_BOUNDS.terms) throw invalidFilter(`A filter has at most ${FILTER_BOUNDS.terms} comparisons.`)
    if (this.takes('[')) {
      const filter = this.either(depth + 1)
      this.close(']')
      return { op: 'has', path, filter }
    }
    const op = this.word().toLowerCase()
    if (op === 'pr') return { op, path }
    if (!OPS.has(op)) throw invalidFilter('The filter has an operator that there is not.')
    return { op: op as CompareOp, path, value: this.#value() }
  }

  #bracketed(depth: number): Filter {
    const filter = this.either(depth + 1)
    this.close(')')
    return filter
  }

  #value(): string | number | boolean | null {
    const { kind, text } = this.#next()
    if (kind === 'number') return Number(text)
    if (kind === 'text') return unquoted(text)
    const word = kind === 'word' ? text.toLowerCase() : ''
    if (word === 'true' || word === 'false') return word === 'true'
    if (word === 'null') return null
    throw invalidFilter('A filter compares with a text in quotation marks, a number, true, false or null.')
  }
}

/** A JSON text (RFC 8259 section 7). */
function unquoted(text: string): string {
  try {
    return String(JSON.parse(text))
  } catch {
    throw invalidFilter('A text of the filter is no JSON text.')
  }
}

import { type Json, RekeyError, Secret } from '../kernel/index.ts'

/** Deeper nesting is refused: evidence is flat, and hostile depth would exhaust the stack. */
const MAX_DEPTH = 64

/**
 * The canonical JSON text of a value (RFC 8785): keys sorted by UTF-16 code units, no white space, ECMAScript numbers.
 * Equal values give equal bytes, which is what makes them fit to be hashed and signed.
 *
 * Throws `bad_input`, naming the place and never the value, for what JSON or RFC 8785 cannot carry: non-finite numbers, lone
 * surrogates, `undefined`, class instances, nesting beyond 64. Throws `internal` for a `Secret`: one may never become evidence.
 */
export function canonicalJson(value: Json): string {
  return write(value, '$', 0)
}

/**
 * The inverse of `canonicalJson`. Throws `bad_input`, naming the character where they part, if the text is not exactly the
 * canonical form of what it holds (white space, unsorted or duplicate keys, other spellings of a number or a string).
 */
export function parseCanonicalJson(text: string): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    throw new RekeyError('bad_input', 'The text is not JSON.')
  }
  const canonical = canonicalJson(value)
  if (canonical !== text) {
    throw new RekeyError('bad_input', `The JSON is not in canonical form from character ${firstDifference(canonical, text)} on.`)
  }
  return value
}

/** Index of the first code unit (or byte) in which two sequences differ; the shorter length if one begins the other. */
export function firstDifference<T extends string | Uint8Array>(a: T, b: T): number {
  const shorter = Math.min(a.length, b.length)
  let i = 0
  while (i < shorter && a[i] === b[i]) i++
  return i
}

function write(value: unknown, path: string, depth: number): string {
  if (depth > MAX_DEPTH) throw new RekeyError('bad_input', `JSON at ${path} is nested too deeply.`)
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return writeText(value, path)
  if (typeof value === 'number') return writeNumber(value, path)
  if (Array.isArray(value)) return `[${Array.from(value, (item, i) => write(item, `${path}[${i}]`, depth + 1)).join(',')}]`
  if (value instanceof Secret) throw new RekeyError('internal', `A secret was about to be written as JSON at ${path}.`)
  if (typeof value === 'object' && isPlain(value)) return writeObject(value, path, depth)
  throw new RekeyError('bad_input', `The value at ${path} is not JSON.`)
}

function writeText(text: string, path: string): string {
  if (!text.isWellFormed()) throw new RekeyError('bad_input', `The text at ${path} holds half of a surrogate pair.`)
  // ECMAScript's quoting is the one RFC 8785 section 3.2.2.2 prescribes.
  return JSON.stringify(text)
}

function writeNumber(number: number, path: string): string {
  if (!Number.isFinite(number)) throw new RekeyError('bad_input', `The number at ${path} is not finite.`)
  return JSON.stringify(number)
}

function writeObject(object: object, path: string, depth: number): string {
  // The default sort compares UTF-16 code units, as RFC 8785 section 3.2.3 asks.
  const members = Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, item]) => `${writeText(key, path)}:${write(item, `${path}.${key}`, depth + 1)}`).join(',')}}`
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

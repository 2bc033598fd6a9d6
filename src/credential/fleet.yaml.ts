import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { LIMITS, nearest, printable, RekeyError } from '../kernel/index.ts'

/** Most faults that one error lists; the rest are counted. */
const LISTED_MAX = 500
/** Looking for a near word compares with all of them: bounded, so that a file of nothing but mistakes cannot cost minutes. */
const SUGGESTIONS_MAX = 50
const CANDIDATES_MAX = 1000
const WORD_MAX = 64

/** The faults of one file. All are gathered before any is thrown. */
export class Faults {
  readonly #listed: { message: string; path: string; line: number }[] = []
  #count = 0
  #suggestionsLeft = SUGGESTIONS_MAX

  add(at: { readonly path: string; readonly line: number }, message: string): void {
    this.#count += 1
    if (this.#listed.length < LISTED_MAX) this.#listed.push({ message, path: at.path, line: at.line })
  }

  /** ` Did you mean "…"?` for the candidate that is at most two edits away, else nothing. */
  suggest(word: string, candidates: readonly string[]): string {
    if (this.#suggestionsLeft === 0 || word.length > WORD_MAX || candidates.length > CANDIDATES_MAX) return ''
    this.#suggestionsLeft -= 1
    const near = nearest(word, candidates)
    return near === null ? '' : ` Did you mean ${quote(near)}?`
  }

  /** Throws `fleet_invalid` with the faults in the order of their lines, if there are any. */
  throwIfAny(): void {
    if (this.#count === 0) return
    const count = this.#count === 1 ? 'one fault' : `${this.#count} faults`
    const more = this.#count > LISTED_MAX ? ` The first ${LISTED_MAX} are listed.` : ''
    const faults = this.#listed.sort((a, b) => a.line - b.line)
    throw new RekeyError('fleet_invalid', `The fleet file has ${count}; nothing was applied.${more}`, { faults })
  }
}

/** One value of the file: the node, the path to it (`credentials[2].current`) and its line, counted from 1. */
export interface Place {
  readonly node: unknown
  readonly path: string
  readonly line: number
  readonly source: Source
}

interface Source {
  readonly faults: Faults
  lineOf(offset: number): number
}

/** One entry of a mapping. `at.path` holds the key: use `line` and the path of the mapping where the key itself may be a slip. */
export interface Entry {
  readonly key: string
  readonly line: number
  readonly at: Place
}

/** Adds a fault at the place; gives `undefined` so that a reader can return it. */
export function fault(at: Place, message: string): undefined {
  at.source.faults.add(at, message)
}

/** The last step of the path, in quotes, as a subject for messages. */
export function subject(at: Place): string {
  return at.path === '' ? 'The file' : quote(/[^.]+$/.exec(at.path)?.[0] ?? at.path)
}

/** Text in quotes, shortened, with nothing in it that moves a terminal's cursor. */
export function quote(text: string): string {
  return `"${printable(text.length > 80 ? `${text.slice(0, 77)}...` : text)}"`
}

/** The entries of a mapping in file order, repeated keys included; `undefined` after a fault if it is no plain mapping. */
export function entriesOf(at: Place): Entry[] | undefined {
  const { node, source } = at
  if (!isPlain(at)) return
  if (!isMap(node)) return fault(at, `${subject(at)} must be a mapping (key: value).`)
  const prefix = at.path === '' ? '' : `${at.path}.`
  return node.items.map(({ key, value }) => {
    const line = source.lineOf(offsetOf(key))
    const text = isScalar(key) ? String(key.value) : ''
    const here = { path: at.path, line, node: key, source }
    isPlain(here)
    return { key: text, line, at: { node: value, path: prefix + text, line: lineOfValue(value, line, source), source } }
  })
}

/** The items of a list; `undefined` after a fault if it is no plain list. */
export function itemsOf(at: Place): Place[] | undefined {
  const { node, source } = at
  if (!isPlain(at)) return
  if (!isSeq(node)) return fault(at, `${subject(at)} must be a list.`)
  return node.items.map((item, i) => ({ node: item, path: `${at.path}[${i}]`, line: lineOfValue(item, at.line, source), source }))
}

/** Text, number or truth value; `undefined` after a fault if it is empty or not a plain scalar. The value is never in the fault. */
export function scalarOf(at: Place): string | number | boolean | undefined {
  if (!isPlain(at)) return
  const value = isScalar(at.node) ? at.node.value : at.node
  if (value === null) return fault(at, `${subject(at)} is empty: give it a value or leave the key out.`)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  return fault(at, `${subject(at)} must be a single value.`)
}

/**
 * The root of a YAML 1.2 document. Throws `fleet_invalid` if the text is too large, is not UTF-8 or is not one YAML document;
 * the message of a syntax fault is ours, because the parser's may quote the file, and people paste secrets into files.
 */
export function openYaml(text: string, faults: Faults): Place {
  if (Buffer.byteLength(text) > LIMITS.fleetBytes) {
    faults.add({ path: '', line: 1 }, `The file is larger than ${LIMITS.fleetBytes / 1024 / 1024} MiB.`)
    faults.throwIfAny()
  }
  checkCharacters(text, faults)
  const lines = new LineCounter()
  // The parser's `uniqueKeys` takes quadratic time (50,000 keys: 27 s, without it 0.6 s): the readers find repeated keys themselves.
  // With `logLevel: 'silent'` it would accept a second document and drop it.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, stringKeys: true, logLevel: 'error' })
  const lineOf = (offset: number) => Math.max(1, lines.linePos(offset).line)
  const broken = document.errors.find(({ code }) => STRUCTURE.has(code))
  const told = document.errors.filter((error) => error === broken || !STRUCTURE.has(error.code))
  for (const error of told) faults.add({ path: '', line: lineOf(error.pos[0]) }, SYNTAX[error.code] ?? 'This is not valid YAML.')
  const { yaml } = document.directives ?? {}
  if (yaml?.explicit && yaml.version !== '1.2') faults.add({ path: '', line: 1 }, 'The file is read as YAML 1.2: take the %YAML line out.')
  faults.throwIfAny()
  return { node: document.contents, path: '', line: 1, source: { faults, lineOf } }
}

const ALIASES = 'Anchors and aliases (&name, *name) are not read: write the value out.'

/** What each of the parser's faults means to whoever wrote the file. */
const SYNTAX: Readonly<Record<string, string>> = {
  BAD_ALIAS: ALIASES,
  ALIAS_PROPS: ALIASES,
  MULTIPLE_ANCHORS: ALIASES,
  BAD_INDENT: 'The indentation does not fit the lines before it, or a bracket is not closed.',
  TAB_AS_INDENT: 'A tab is used as indentation: use spaces.',
  BLOCK_AS_IMPLICIT_KEY: 'Two keys stand on one line, or a line is indented too far.',
  MULTILINE_IMPLICIT_KEY: 'A key must stand on one line together with its colon.',
  MISSING_CHAR: 'A colon, comma, quote or bracket is missing.',
  UNEXPECTED_TOKEN: 'Something stands here that does not belong: look for a bracket, quote or colon too many.',
  MULTIPLE_DOCS: 'The file must be one document: take the second "---" out.',
  TAG_RESOLVE_FAILED: 'Tags (!name) are not read: write the plain value.',
  MULTIPLE_TAGS: 'Tags (!name) are not read: write the plain value.',
  NON_STRING_KEY: 'A key must be plain text.',
  BAD_DQ_ESCAPE: 'A backslash in double quotes is not a known escape: use single quotes.',
  RESOURCE_EXHAUSTION: 'The file is nested too deeply.',
}

/** Faults of which one makes many: after a bracket that nobody closes, no line fits. Only the first is told. */
const STRUCTURE: ReadonlySet<string> = new Set([
  'BAD_INDENT',
  'BLOCK_AS_IMPLICIT_KEY',
  'MULTILINE_IMPLICIT_KEY',
  'MISSING_CHAR',
  'UNEXPECTED_TOKEN',
  'IMPOSSIBLE',
])

function checkCharacters(text: string, faults: Faults): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose (YAML 1.2 section 5.1 allows none of these).
  const bad = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]|\p{Cs}/u.exec(text)
  if (!bad) return
  const line = text.slice(0, bad.index).split('\n').length
  const unreadable = bad[0] === '\ufffd' || /\p{Cs}/u.test(bad[0])
  faults.add({ path: '', line }, unreadable ? 'The file is not valid UTF-8 text.' : 'A control character stands here.')
  faults.throwIfAny()
}

function isPlain(at: Place): boolean {
  const { node } = at
  const marks = node as { anchor?: string; tag?: string } | null
  if (isAlias(node) || marks?.anchor !== undefined) fault(at, ALIASES)
  else if (marks?.tag !== undefined) fault(at, 'Tags (!name) are not read: write the plain value.')
  else return true
  return false
}

function offsetOf(node: unknown): number {
  return (node as { range?: readonly number[] } | null)?.range?.[0] ?? 0
}

/** An empty value has its offset after the line of its key, and an absent one has none: both belong to the line of the key. */
function lineOfValue(node: unknown, keyLine: number, source: Source): number {
  if (node === null || node === undefined || (isScalar(node) && node.value === null)) return keyLine
  return source.lineOf(offsetOf(node))
}

import { RekeyError } from '../kernel/index.ts'

/** Characters that need no quotes in an .env file, whichever reader it has. */
const PLAIN = /^[A-Za-z0-9_.:/@%+=,-]*$/
/** Up to the value. A first line may begin with the mark of UTF-8, here as the three characters that its bytes are in latin1. */
const ASSIGNMENT = /^((?:\u00ef\u00bb\u00bf)?[ \t]*(?:export[ \t]+)?)([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/
/** Read as an assignment by some (`KEY: value`), by others not. */
const COLON = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*:[ \t]/
const COMMENT = /^[ \t]*#/
const END = /^[ \t]*(?:[ \t]#.*)?$/

/** An assignment: the text from `from` to `to`, which may be of several lines, is it and its line's comment, without the line break. */
export interface Entry {
  readonly key: string
  /** Blanks and `export` before the key. */
  readonly prefix: string
  readonly from: number
  readonly to: number
}

function line(key: string, value: string): string {
  return PLAIN.test(value) ? `${key}=${value}` : `${key}="${value.replace(/["\\$`]/g, '\\$&').replaceAll('\n', '\\n')}"`
}

/**
 * The text of an .env file with one key set: what it was assigned is replaced in place (an `export` kept), or a line added at the end.
 * Values in quotes may have several lines. Throws `conflict` where usual readers (dotenv of Node and Python, shells, systemd) may
 * disagree on what is a line and what is inside a value, or if the key is there twice: a value would be written where nobody reads it.
 * `path` is for the error, which never holds anything of the file but the key.
 */
export function withKey(text: string, key: string, value: string, path: string): string {
  const entry = entryOf(text, key, path)
  const body = text === '' || text.endsWith('\n') ? text : `${text}\n`
  const made = entry ? text.slice(0, entry.from) + entry.prefix + line(key, value) + text.slice(entry.to) : `${body}${line(key, value)}\n`
  // The quotes of a value that needs some could close one that was alone in the file before.
  entryOf(made, key, path)
  return made
}

function entryOf(text: string, key: string, path: string): Entry | undefined {
  const [entry, second] = entriesOf(text, key, path).filter((each) => each.key === key)
  if (second !== undefined) throw unclear(path, lineAt(text, second.from), `${key} is set a second time`)
  return entry
}

/** Every assignment of an .env file, in order. Throws as `withKey`; `key` is the one that is looked for. */
export function entriesOf(text: string, key: string, path: string): Entry[] {
  const stray = /\r(?!\n)/.exec(text)
  if (stray) throw unclear(path, lineAt(text, stray.index), 'a carriage return is not at the end of a line')
  const entries: Entry[] = []
  for (let from = 0; from < text.length; ) {
    const [, prefix, name] = ASSIGNMENT.exec(text.slice(from, endOfLine(text, from))) ?? []
    const to = itemEnd(text, from, (why) => unclear(path, lineAt(text, from), why))
    if (name !== undefined && prefix !== undefined) entries.push({ key: name, prefix, from, to })
    else if (COLON.exec(text.slice(from, to))?.[1] === key) throw unclear(path, lineAt(text, from), `${key} is followed by a colon`)
    from = text.indexOf('\n', to) + 1 || text.length
  }
  return entries
}

type Unclear = (why: string) => RekeyError

/** Where what begins at a line's start ends: at the end of that line (before a carriage return), or of the one that closes its quote. */
function itemEnd(text: string, from: number, error: Unclear): number {
  const end = endOfLine(text, from)
  const all = text.slice(from, end)
  if (COMMENT.test(all)) return end
  const start = ASSIGNMENT.exec(all)?.[0].length
  const quote = start === undefined ? '' : all.charAt(start)
  if (start !== undefined && (quote === '"' || quote === "'")) return quotedEnd(text, from + start, quote, error)
  checkPlain(all, text.slice(end), error)
  return end
}

/** Of a value that begins with a quote. */
function quotedEnd(text: string, from: number, quote: string, error: Unclear): number {
  const close = closing(text, from + 1, quote)
  if (close < 0) throw error('a quote is not closed')
  if (quote === "'" && text[close - 1] === '\\') throw error('a backslash stands before a closing quote')
  const end = endOfLine(text, close)
  const rest = text.slice(close + 1, end)
  if (END.test(rest)) return end
  if (text.slice(from, close).includes('\n') || /["'`\\]/.test(rest)) throw error('something follows a closing quote')
  return end
}

/** A backslash takes the next character's meaning away inside double quotes, and nothing's inside single ones. */
function closing(text: string, from: number, quote: string): number {
  if (quote === "'") return text.indexOf(quote, from)
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === quote) return at
  }
  return -1
}

/**
 * A line without a quote at the start of its value ends with the line for dotenv. A shell goes on where a quote inside is open, or the
 * line ends with a backslash. Where no such quote follows, a shell could not read the file at all, so no shell does.
 */
function checkPlain(all: string, after: string, error: Unclear): void {
  let open = ''
  for (let at = 0; at < all.length; at++) {
    const char = all.charAt(at)
    if (open === '' && char === '#' && /[ \t]/.test(all[at - 1] ?? '')) break
    if (char === '\\' && open !== "'") {
      if (at === all.length - 1) throw error('the line ends with a backslash')
      at++
    } else if (open === char) open = ''
    else if (open === '' && /["'`]/.test(char)) open = char
  }
  if (open !== '' && after.includes(open)) throw error('a quote is not closed on its line')
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  if (end < 0) return text.length
  return text[end - 1] === '\r' && end > from ? end - 1 : end
}

function lineAt(text: string, at: number): number {
  return text.slice(0, at).split('\n').length
}

function unclear(path: string, at: number, why: string): RekeyError {
  return new RekeyError('conflict', `Where a value would go in ${path} is not certain: ${why} (line ${at}). Nothing was written.`, {
    hint: 'Correct that line, or let Rekey write a file of its own for this consumer.',
  })
}

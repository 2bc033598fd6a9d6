/**
 * What the letters of a text of policies mean to Cedar, and which it may not hold. Cedar's lexer, asked letter by letter
 * (`letters.test.ts`): a comment ends at a line feed or a carriage return, and white space is what Unicode calls so. Editors, terminals and
 * whatever shows a change differ in what they take for the end of a line, so that what a reader takes for a comment could be part of a
 * policy. So there is one end of a line here, the line feed.
 */

/** Source of an expression for a string, closed or not. */
export const STRING = String.raw`"(?:[^"\\]|\\[\s\S])*"?`
/** Source of an expression for a comment, to where Cedar ends it. */
export const COMMENT = String.raw`\/\/[^\n\r]*`

/** A place of a text, `line` from 1, and what is wrong there. */
export interface TextFault {
  readonly line: number
  readonly message: string
}

/** What some program takes for the end of a line, and every other control character. */
const END = /\r(?!\n)|[\p{Zl}\p{Zp}]|(?![\t\n\r])\p{Cc}/u
/** What turns the direction of a text, or marks the beginning of a file. In a string it is a value, which Cedar's validator judges. */
const TURN = /[\p{Bidi_Control}\ufeff]/u
const STRING_OR_NOT = new RegExp(`${STRING}|${COMMENT}|[^"/]+|\\/`, 'g')

const NAMES: Readonly<Record<string, string>> = {
  '\v': 'a vertical tab',
  '\f': 'a form feed',
  '\r': 'a carriage return without a line feed',
  '\u0085': 'a next line',
  '\u2028': 'a line separator',
  '\u2029': 'a paragraph separator',
  '\ufeff': 'a byte order mark',
}

/** The text with line feeds where it has carriage returns before them: the same policies, and one end of a line. */
export const withLineFeeds = (text: string): string => text.replaceAll('\r\n', '\n')

/** The first letter that a text of policies may not hold; null if there is none. */
export function oddLetter(text: string): TextFault | null {
  const at = firstOdd(text)
  if (at === null) return null
  const letter = text.charAt(at)
  const code = `U+${letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`
  const name = NAMES[letter] ?? (TURN.test(letter) ? 'a letter that turns the direction of the text' : 'a control character')
  const rule = TURN.test(letter) ? 'it stands in strings only' : 'a line ends with a line feed'
  return { line: text.slice(0, at).split('\n').length, message: `There is ${name} (${code}) here: ${rule}.` }
}

function firstOdd(text: string): number | null {
  const end = text.search(END)
  const turn = TURN.test(text) ? firstTurn(text) : -1
  const found = [end, turn].filter((at) => at >= 0)
  return found.length === 0 ? null : Math.min(...found)
}

function firstTurn(text: string): number {
  for (const { 0: token, index } of text.matchAll(STRING_OR_NOT)) {
    const at = token.startsWith('"') ? -1 : token.search(TURN)
    if (at >= 0) return index + at
  }
  return -1
}

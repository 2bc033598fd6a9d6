/** Control, format and separator characters and lone surrogates: they move a cursor, hide text or turn its direction. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/**
 * The text with every invisible character written as `\u{…}`. The same as `printable` of credential/, which a test holds it to: that one
 * comes with the whole engine, 150 ms and more that a list, `evidence verify` or an error message would wait for.
 */
export function printable(text: string): string {
  if (!INVISIBLE.test(text)) return text
  return Array.from(text, (c) => (INVISIBLE.test(c) ? `\\u{${c.codePointAt(0)?.toString(16)}}` : c)).join('')
}

/** Text of several lines: each printable, the breaks between them kept. */
export function printableLines(text: string): string[] {
  return text.split(/\r?\n/).map(printable)
}

/** RFC 3339 time as people read it: whole seconds, UTC. `-` for none. */
export function shortTime(at: string | null | undefined): string {
  if (!at) return '-'
  return printable(at.replace(/\.\d+Z$/, 'Z'))
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const

/** A span of milliseconds in its two largest units: `2d 3h`, `4m 5s`, `0s`. */
export function span(ms: number): string {
  let seconds = Math.max(0, Math.floor(ms / 1000))
  const parts: string[] = []
  for (const [unit, size] of UNITS) {
    if (seconds >= size) parts.push(`${Math.floor(seconds / size)}${unit}`)
    seconds %= size
  }
  return parts.slice(0, 2).join(' ') || '0s'
}

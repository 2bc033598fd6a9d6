/** Characters that a name may not hold: they move a terminal's cursor, hide text or turn its direction. */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** `1 fault`, `2 faults`. `many` is the plural where an s does not make it. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** The text with every invisible character written as `\u{…}`, so that a hostile name cannot redraw a terminal or a log. */
export function printable(text: string): string {
  if (!INVISIBLE.test(text)) return text
  return Array.from(text, (c) => (INVISIBLE.test(c) ? `\\u{${c.codePointAt(0)?.toString(16)}}` : c)).join('')
}

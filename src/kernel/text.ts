/** Characters that a name may not hold: they move a terminal's cursor, hide text or turn its direction. */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** The text with every invisible character written as `\u{…}`, so that a hostile name cannot redraw a terminal or a log. */
export function printable(text: string): string {
  if (!INVISIBLE.test(text)) return text
  return Array.from(text, (c) => (INVISIBLE.test(c) ? `\\u{${c.codePointAt(0)?.toString(16)}}` : c)).join('')
}

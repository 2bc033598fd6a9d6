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

/** The candidate that is at most two edits away from a word (of three letters: one), whatever the case; null if none is. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const most = word.length < 4 ? 1 : 2
  let best: string | null = null
  let bestEdits = most + 1
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestEdits) continue
    const edits = editsBetween(word.toLowerCase(), candidate.toLowerCase(), bestEdits)
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits]
  }
  return best
}

/** Levenshtein distance, or `enough` as soon as it cannot be smaller. */
function editsBetween(a: string, b: string, enough: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    if (Math.min(...next) >= enough) return enough
    row = next
  }
  return row[b.length] ?? enough
}

/** The first `most` of these, and how many more there are: `ann, bob and 3 more`. */
export function someOf(all: readonly string[], most: number): string {
  return all.slice(0, most).join(', ') + (all.length > most ? ` and ${all.length - most} more` : '')
}

/**
 * A column of times as text: RFC 3339 with milliseconds, null as null. A row that was changed by hand may hold a time that is no date
 * (`infinity` is read as a number) or lies beyond those of JavaScript: it is shown as it is, and equals no other text.
 */
export function timeText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : String(value)
}

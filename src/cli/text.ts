import { printable } from '../kernel/index.ts'

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

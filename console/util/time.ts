const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })

const ABOUT_NOW_SECONDS = 10

const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const

/** In the reader's zone and language. */
export function localTime(at: string): string {
  return WHEN.format(new Date(at))
}

/** The same moment in UTC, to the second. */
export function utcTime(at: string): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** How far from now, in the largest unit that fits: "3 days ago", "in 2 hours"; "now" within ten seconds. */
export function relativeTime(at: string, nowMs: number): string {
  const seconds = Math.round((new Date(at).getTime() - nowMs) / 1000)
  // The server's clock and the browser's differ by as much: what has just happened must not be told as what will.
  if (Math.abs(seconds) < ABOUT_NOW_SECONDS) return AGO.format(0, 'second')
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ['second', 1]
  return AGO.format(Math.round(seconds / size), unit)
}

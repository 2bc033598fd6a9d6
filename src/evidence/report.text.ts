import type { Json } from '../kernel/index.ts'
import { type EventBody, isObject } from './event.ts'

/** RFC 3339 UTC, for people: `2026-11-21 09:20:32.123 UTC`. Any other text stays as it is. */
export function timeText(at: string): string {
  return at.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)Z$/, '$1 $2 UTC')
}

/** The same, for a column that says UTC in its head. */
export function clockText(at: string): string {
  return timeText(at).replace(/ UTC$/, '')
}

/** A time span in milliseconds, for people. */
export function spanText(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** The details of any event: all of its data, flattened to `name: value`. */
export function detailsText(event: EventBody): string {
  return flatten(event.data).join(' · ')
}

/** A probe as it stands in an event: `accepted (00000)`; `not told` where there is none. */
export function probeText(outcome: string, code: string): string {
  return `${outcome || 'not told'}${code === '' ? '' : ` (${code})`}`
}

function flatten(value: Json, name = ''): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return [labelled(name, value.join(', ') || 'none')]
  if (Array.isArray(value)) return value.flatMap((item: Json, i) => flatten(item, value.length === 1 ? name : `${name} ${i + 1}`))
  if (!isObject(value)) return [labelled(name, scalar(value))]
  const probe = asProbe(value)
  if (probe !== null && name !== '') return [`${worded(name)}: ${probe}`]
  // Sorted, so that the page does not depend on the order of keys, which canonical JSON does not keep.
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return members.flatMap(([key, item]) => flatten(item, name === '' ? key : `${name} ${key}`))
}

/** A probe in one piece instead of three; `null` for an object that holds anything else or more. */
function asProbe(value: { readonly [key: string]: Json }): string | null {
  const { outcome, code, at, ...rest } = value
  if (typeof outcome !== 'string' || typeof code !== 'string' || Object.keys(rest).length > 0) return null
  if (at === undefined) return probeText(outcome, code)
  return typeof at === 'string' ? `${probeText(outcome, code)}, ${timeText(at)}` : null
}

function scalar(value: Json): string {
  if (value === null) return '–'
  return typeof value === 'string' ? timeText(value) : String(value)
}

const UNITS = [
  ['Ms', 'ms'],
  ['Seconds', 's'],
] as const

/** `name: value`, a unit at the end of the name put behind the value. */
function labelled(name: string, value: string): string {
  if (name === '') return value
  const unit = UNITS.find(([ending]) => name.endsWith(ending))
  if (unit === undefined) return `${worded(name)}: ${value}`
  const bare = worded(name.slice(0, -unit[0].length))
  return value === '–' ? `${bare}: –` : `${bare}: ${value} ${unit[1]}`
}

/** `sessionsLeft` as `sessions left`, `address.host` as `address host`. */
function worded(name: string): string {
  return name.replace(/(?<=[a-z])\.(?=[a-z])/g, ' ').replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

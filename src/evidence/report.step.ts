/** What the parts of the story share: an event in its place, and what stands in it. */
import type { Json } from '../kernel/index.ts'
import { canonicalJson } from './canonical.ts'
import { type EventBody, isObject, type LogName } from './event.ts'

/** An event with its place in its log. */
export interface Step {
  readonly log: LogName
  readonly index: number
  readonly event: EventBody
}

/** A value inside an event's data by its path, as text; empty if it is not there. */
export function dataText(event: EventBody | undefined, ...path: readonly string[]): string {
  let value: Json | undefined = event?.data
  for (const key of path) value = value !== undefined && isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return value === undefined || value === null ? '' : typeof value === 'object' ? canonicalJson(value) : String(value)
}

/** The id that an event links to, empty if it links to none. */
export function link(event: EventBody, what: string): string {
  return Object.hasOwn(event.links, what) ? (event.links[what] ?? '') : ''
}

/** The steps under a key, which are none at first. */
export function grouped(groups: Map<string, Step[]>, key: string): Step[] {
  const group = groups.get(key) ?? []
  groups.set(key, group)
  return group
}

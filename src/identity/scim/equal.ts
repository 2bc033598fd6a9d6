import type { Json } from '../../kernel/index.ts'
import { isArray, isObject } from './attribute.ts'

/** Equal as JSON: order of members does not count, order of elements does. */
export function isEqual(a: Json, b: Json): boolean {
  if (isArray(a)) return isArray(b) && a.length === b.length && a.every((one, index) => isEqual(one, b[index] ?? null))
  if (!isObject(a)) return a === b
  if (!isObject(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key] ?? null, b[key] ?? null))
}

/** What a filter means for one resource (RFC 7644 section 3.4.2.2). */
import type { Json } from '../../kernel/index.ts'
import { type Attribute, type Chain, chainOf, fold, isArray, isObject, lastOf, named, type ResourceType, within } from './attribute.ts'
import { invalidFilter } from './error.ts'
import type { CompareOp, Filter } from './filter.parse.ts'

/** A filter whose names are known to be attributes. `has` holds for an element of a multi-valued attribute as a whole. */
export type Bound =
  | { readonly op: 'and' | 'or'; readonly filters: readonly Bound[] }
  | { readonly op: 'not'; readonly filter: Bound }
  | { readonly op: 'pr'; readonly chain: Chain }
  | { readonly op: 'has'; readonly chain: Chain; readonly filter: Bound }
  | { readonly op: CompareOp; readonly chain: Chain; readonly value: string | boolean | null }
  /** About an attribute that this resource type lacks, in a search over several types. */
  | { readonly op: 'never' }

type Find = (path: string) => Chain | null

/**
 * Finds the attributes that a filter names. Throws `invalidFilter` for one that the type does not have, and for comparisons that make
 * no sense; with `others`, one that another type has is merely absent.
 */
export function bindFilter(type: ResourceType, filter: Filter, others: readonly ResourceType[] = []): Bound {
  return bind(
    (path) => chainOf(type, path),
    filter,
    (path) => others.some((other) => chainOf(other, path) !== null),
  )
}

/** The same for a filter on the elements of one multi-valued attribute. A simple one's elements are called `value`. */
export function bindElements(attribute: Attribute, filter: Filter): Bound {
  return bind(
    (path) => within(attribute.sub, path),
    filter,
    () => false,
  )
}

function bind(find: Find, filter: Filter, elsewhere: (path: string) => boolean): Bound {
  if ('filters' in filter) return { op: filter.op, filters: filter.filters.map((one) => bind(find, one, elsewhere)) }
  if (filter.op === 'not') return { op: 'not', filter: bind(find, filter.filter, elsewhere) }
  const chain = find(filter.path)
  if (chain === null) {
    if (elsewhere(filter.path)) return { op: 'never' }
    throw invalidFilter('The filter names an attribute that there is not.')
  }
  if (filter.op === 'pr') return { op: 'pr', chain }
  if (filter.op === 'has') {
    const attribute = lastOf(chain)
    if (attribute.type !== 'complex') throw invalidFilter(`${attribute.name} has no parts to filter by.`)
    return { op: 'has', chain, filter: bindElements(attribute, filter.filter) }
  }
  return compared(chain, filter.op, filter.value)
}

const TEXT_OPS: ReadonlySet<CompareOp> = new Set<CompareOp>(['co', 'sw', 'ew'])

/** A complex attribute is compared by its `value` (RFC 7643 section 2.4). */
function compared(chain: Chain, op: CompareOp, value: string | number | boolean | null): Bound {
  const end = lastOf(chain)
  const inner = end.type === 'complex' ? named(end.sub, 'value') : null
  const full: Chain = inner === null ? chain : [...chain, inner]
  const { type, name } = lastOf(full)
  if (type === 'complex') throw invalidFilter(`${name} has no value of its own to compare.`)
  if (value === null) {
    if (op !== 'eq' && op !== 'ne') throw invalidFilter('Only eq and ne compare with null.')
    return { op, chain: full, value }
  }
  if (type === 'boolean') {
    if (op !== 'eq' && op !== 'ne') throw invalidFilter(`${name} is true or false: only eq and ne compare it.`)
    return { op, chain: full, value: truth(name, value) }
  }
  if (typeof value !== 'string') throw invalidFilter(`${name} is compared with a text in quotation marks.`)
  if (type === 'dateTime' && !TEXT_OPS.has(op) && Number.isNaN(Date.parse(value))) {
    throw invalidFilter(`${name} is compared with a time of RFC 3339.`)
  }
  return { op, chain: full, value }
}

function truth(name: string, value: string | number | boolean): boolean {
  if (typeof value === 'boolean') return value
  const text = String(value).toLowerCase()
  if (text !== 'true' && text !== 'false') throw invalidFilter(`${name} is true or false.`)
  return text === 'true'
}

/** Whether a resource, or an element, passes. */
export function matches(filter: Bound, resource: Json): boolean {
  switch (filter.op) {
    case 'and':
      return filter.filters.every((one) => matches(one, resource))
    case 'or':
      return filter.filters.some((one) => matches(one, resource))
    case 'not':
      return !matches(filter.filter, resource)
    case 'never':
      return false
    case 'pr':
      return valuesAt(resource, filter.chain).some(isPresent)
    case 'has':
      return valuesAt(resource, filter.chain).some((element) => matches(filter.filter, element))
    default:
      return compares(filter.op, filter.chain, filter.value, resource)
  }
}

/** `ne` is the opposite of `eq`: of several values none may be equal, and an absent one is not equal to anything. */
function compares(op: CompareOp, chain: Chain, value: string | boolean | null, resource: Json): boolean {
  if (op === 'ne') return !compares('eq', chain, value, resource)
  const found = valuesAt(resource, chain)
  if (value === null) return !found.some(isPresent)
  return found.some((one) => holds(lastOf(chain), op, one, value))
}

function holds(attribute: Attribute, op: CompareOp, found: Json, value: string | boolean): boolean {
  if (typeof value === 'boolean') return found === value
  if (typeof found !== 'string') return false
  if (attribute.type === 'dateTime' && !TEXT_OPS.has(op)) return ordered(op, Date.parse(found) - Date.parse(value))
  const a = attribute.caseExact ? found : fold(found)
  const b = attribute.caseExact ? value : fold(value)
  if (op === 'co') return a.includes(b)
  if (op === 'sw') return a.startsWith(b)
  if (op === 'ew') return a.endsWith(b)
  return ordered(op, a === b ? 0 : a < b ? -1 : 1)
}

function ordered(op: CompareOp, difference: number): boolean {
  if (op === 'eq') return difference === 0
  if (op === 'gt') return difference > 0
  if (op === 'ge') return difference >= 0
  return op === 'lt' ? difference < 0 : difference <= 0
}

/** RFC 7643 section 2.5: null and an empty array are the same as nothing. */
function isPresent(value: Json): boolean {
  if (isArray(value)) return value.some(isPresent)
  if (isObject(value)) return Object.values(value).some(isPresent)
  return value !== null && value !== ''
}

/** Every value at the end of a chain, elements of arrays one by one. */
export function valuesAt(resource: Json, chain: readonly Attribute[]): Json[] {
  let level: Json[] = [resource]
  for (const { name } of chain) {
    level = level.flatMap((one) => (isObject(one) && Object.hasOwn(one, name) ? flat(one[name] ?? null) : []))
  }
  return level
}

function flat(value: Json): readonly Json[] {
  return isArray(value) ? value : [value]
}

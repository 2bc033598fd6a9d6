/**
 * PATCH (RFC 7644 section 3.5.2), in the forms of the RFC and in those that identity providers send. First the body is read into steps,
 * each on one attribute; then the steps are applied to a copy. Nothing is changed unless every step holds.
 */
import type { Json } from '../../kernel/index.ts'
import {
  type Attribute,
  type Chain,
  chainOf,
  isArray,
  isExtension,
  isObject,
  type JsonObject,
  lastOf,
  named,
  type ResourceType,
} from './attribute.ts'
import { checkCount, checkSchemas, cleanOne, cleanValue, demoted, finished, joined, merged } from './clean.ts'
import { isEqual } from './equal.ts'
import { invalidPath, invalidSyntax, invalidValue, ScimError } from './error.ts'
import { type Bound, bindElements, matches } from './filter.match.ts'
import { parsePath } from './filter.parse.ts'

const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
/** Most operations of one request. */
export const OPERATIONS_MAX = 1_000

type Op = 'add' | 'replace' | 'remove'
const OPS: readonly Op[] = ['add', 'replace', 'remove']

/** One change of one attribute. */
export interface Step {
  readonly op: Op
  readonly chain: Chain
  /** Which elements of the attribute at `filterAt` in the chain; null: all. */
  readonly filter: Bound | null
  readonly filterAt: number
  /** As sent. Absent only for `remove`. */
  readonly value: Json | undefined
}

/** Reads the body of a PATCH. Throws `invalidSyntax`, `invalidPath`, `invalidFilter`, `noTarget`, `mutability`. */
export function readPatch(type: ResourceType, body: Json): Step[] {
  if (!isObject(body)) throw invalidSyntax('The body is not a JSON object.')
  checkSchemas(body, PATCH_URN)
  const operations = member(body, 'operations')
  if (!isArray(operations) || operations.length === 0) throw invalidSyntax('Operations is a list with at least one operation.')
  if (operations.length > OPERATIONS_MAX) throw new ScimError(413, null, `A PATCH has at most ${OPERATIONS_MAX} operations.`)
  return operations.flatMap((operation) => stepsOf(type, operation))
}

function member(object: JsonObject, name: string): Json | undefined {
  const key = Object.keys(object).find((one) => one.toLowerCase() === name)
  return key === undefined ? undefined : object[key]
}

function stepsOf(type: ResourceType, operation: Json): Step[] {
  if (!isObject(operation)) throw invalidSyntax('An operation is an object.')
  const name = member(operation, 'op')
  const op = OPS.find((one) => typeof name === 'string' && name.toLowerCase() === one)
  if (op === undefined) throw invalidSyntax('op is add, replace or remove.')
  const path = member(operation, 'path') ?? null
  const value = member(operation, 'value')
  if (path !== null && typeof path !== 'string') throw invalidPath('path is a text.')
  if (op !== 'remove' && value === undefined) throw invalidValue(`${op} has a value.`)
  if (path !== null && path.trim() !== '') return [...spread(stepAt(type, op, path.trim(), value))]
  if (op === 'remove') throw new ScimError(400, 'noTarget', 'remove has a path.')
  if (!isObject(value)) throw invalidSyntax('Without a path the value is an object of attributes.')
  return Object.entries(value).flatMap(([key, inner]) => keyed(type, op, key, inner))
}

/**
 * Without a path each name in the value is one; Entra ID also writes whole paths there. What is read-only is passed over (Okta sends
 * `id`).
 */
function keyed(type: ResourceType, op: Op, key: string, value: Json): readonly Step[] {
  if (key.toLowerCase() === 'password') return []
  const step = stepAt(type, op, key, value, true)
  return step.chain.some(({ mutability }) => mutability === 'readOnly') ? [] : spread(step)
}

/** A change of a whole extension is one of each attribute that it names. */
function spread(step: Step): readonly Step[] {
  const [first, ...deeper] = step.chain
  if (!isExtension(first) || deeper.length > 0 || !isObject(step.value)) return [step]
  return Object.entries(step.value).flatMap(([key, value]): Step[] => {
    // What the extension is, said once more inside it.
    if (key.toLowerCase() === 'schemas') return []
    const attribute = named(first.sub, key)
    if (attribute === null) throw invalidPath('The value names an attribute that there is not.')
    return [{ ...step, chain: [first, attribute], value }]
  })
}

function stepAt(type: ResourceType, op: Op, text: string, value: Json | undefined, lenient = false): Step {
  const { path, filter, sub } = parsePath(text)
  const outer = chainOf(type, path)
  if (outer === null) throw invalidPath('The path names an attribute that there is not.')
  const attribute = lastOf(outer)
  const inner = sub === null ? null : named(attribute.sub, sub)
  if (sub !== null && inner === null) throw invalidPath('The path names a part of an attribute that there is not.')
  if (filter !== null && (!attribute.multi || attribute.type !== 'complex'))
    throw invalidPath(`${attribute.name} has no elements to choose from.`)
  const chain: Chain = inner === null ? outer : [...outer, inner]
  const readOnly = chain.find(({ mutability }) => mutability === 'readOnly')
  if (readOnly !== undefined && !lenient) throw new ScimError(400, 'mutability', `${readOnly.name} cannot be written.`)
  const immutable = chain.find(({ mutability }) => mutability === 'immutable')
  if (immutable !== undefined) throw new ScimError(400, 'mutability', `${immutable.name} cannot be changed.`)
  return { op, chain, filter: filter === null ? null : bindElements(attribute, filter), filterAt: outer.length - 1, value }
}

/** The resource after the steps. Throws as `readPatch`; the resource given is not touched. */
export function applySteps(type: ResourceType, resource: JsonObject, steps: readonly Step[]): JsonObject {
  return finished(
    type,
    steps.reduce<JsonObject>((now, step) => changed(now, step, 0), resource),
  )
}

/** `container` with the change made at the attribute `step.chain[at]`. */
function changed(container: JsonObject, step: Step, at: number): JsonObject {
  const attribute = step.chain[at]
  if (attribute === undefined) return container
  const before = container[attribute.name] ?? null
  const after = attribute.multi ? changedList(attribute, before, step, at) : changedOne(attribute, before, step, at)
  const { [attribute.name]: _, ...rest } = container
  if (!isEmpty(after)) return { ...rest, [attribute.name]: after }
  if (attribute.required && at === 0) throw new ScimError(400, 'mutability', `${attribute.name} is required and cannot be removed.`)
  return rest
}

function isEmpty(value: Json): boolean {
  return value === null || (isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0)
}

function changedOne(attribute: Attribute, before: Json, step: Step, at: number): Json {
  if (at < step.chain.length - 1) return changed(isObject(before) ? before : {}, step, at + 1)
  if (step.op === 'remove') return null
  const sent = step.value ?? null
  const value = cleanValue(attribute, sent)
  // Section 3.5.2.3: parts of a complex attribute that are not named stay as they are.
  if (isObject(sent) && isObject(before)) return withoutNulls(merged(before, isObject(value) ? value : {}), attribute, sent)
  return value === null && step.op === 'add' ? before : value
}

/** Parts that were sent as null are unassigned (RFC 7643 section 2.5). */
function withoutNulls(value: JsonObject, attribute: Attribute, sent: JsonObject): JsonObject {
  const nulls = new Set(Object.keys(sent).flatMap((key) => (sent[key] === null ? (named(attribute.sub, key)?.name ?? []) : [])))
  return Object.fromEntries(Object.entries(value).filter(([name]) => !nulls.has(name)))
}

function changedList(attribute: Attribute, before: Json, step: Step, at: number): Json {
  const present = isArray(before) ? before : []
  const isLast = at === step.chain.length - 1
  const filter = at === step.filterAt ? step.filter : null
  if (!isLast || filter !== null) return bounded(attribute, changedElements(attribute, present, filter, step, at))
  if (step.op === 'remove') return step.value === undefined ? null : without(attribute, present, step.value)
  const value = cleanValue(attribute, step.value ?? null)
  const given = isArray(value) ? value : []
  return bounded(attribute, step.op === 'add' ? joined(present, given) : given)
}

/** The bound of one request holds for what many requests add up to. */
function bounded(attribute: Attribute, list: readonly Json[]): readonly Json[] {
  checkCount(attribute, list.length)
  return list
}

/** Entra ID removes values by naming them: each that has all that one of the named ones has. An empty list names none. */
function without(attribute: Attribute, present: readonly Json[], value: Json): Json {
  const named = cleanValue(attribute, value)
  const gone = isArray(named) ? named : []
  return present.filter((one) => !gone.some((other) => covers(one, other)))
}

function covers(whole: Json, part: Json): boolean {
  if (!isObject(whole) || !isObject(part)) return isEqual(whole, part)
  return Object.entries(part).every(([key, value]) => Object.hasOwn(whole, key) && isEqual(whole[key] ?? null, value))
}

/** Elements chosen by a filter, or a part of all elements. */
function changedElements(attribute: Attribute, present: readonly Json[], filter: Bound | null, step: Step, at: number): readonly Json[] {
  const chosen = present.map((one) => filter === null || matches(filter, one))
  if (!chosen.includes(true)) return none(attribute, present, filter, step, at)
  const after = present.map((one, index) => (chosen[index] ? changedElement(attribute, one, step, at) : one))
  const made = after.filter((one, index) => chosen[index] && isObject(one) && one.primary === true)
  if (made.length > 1) throw invalidValue(`Only one value of ${attribute.name} can be primary.`)
  const isNewlyPrimary = after.some((one, index) => made.includes(one) && !isEqual(one, present[index] ?? null))
  return after.map((one) => (isNewlyPrimary && !made.includes(one) ? demoted(one) : one)).filter((one) => !isEmpty(one))
}

function changedElement(attribute: Attribute, element: Json, step: Step, at: number): Json {
  if (at < step.chain.length - 1) return changed(isObject(element) ? element : {}, step, at + 1)
  if (step.op === 'remove') return null
  const value = cleanOne(attribute, step.value ?? null)
  return step.op === 'add' && isObject(element) && isObject(value) ? merged(element, value) : value
}

/**
 * Nothing was chosen. `remove`: it is gone already. `replace` by a filter: `noTarget` (section 3.5.2.3). `add`: a new element that the
 * filter would choose, as Entra ID means `add emails[type eq "work"].value`; a filter of anything but equalities names no such element.
 */
function none(attribute: Attribute, present: readonly Json[], filter: Bound | null, step: Step, at: number): readonly Json[] {
  if (step.op === 'remove') return present
  const seed = filter === null ? {} : seedOf(filter)
  if (seed === null || (step.op === 'replace' && filter !== null)) {
    throw new ScimError(400, 'noTarget', `No value of ${attribute.name} is what the path chooses.`)
  }
  // The filter's texts were never held to what may be stored.
  const made = changedElement(attribute, cleanOne(attribute, seed) ?? {}, { ...step, op: 'add' }, at)
  return isEmpty(made) ? present : joined(present, [made])
}

function seedOf(filter: Bound): JsonObject | null {
  if (filter.op === 'and') {
    const seeds = filter.filters.map(seedOf)
    return seeds.some((seed) => seed === null) ? null : Object.assign({}, ...seeds)
  }
  return filter.op === 'eq' && filter.chain.length === 1 && filter.value !== null ? { [filter.chain[0].name]: filter.value } : null
}

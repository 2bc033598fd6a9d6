/** Whom a set treats otherwise than others for who they are, read off its syntax trees: a text can write a name in many ways. */
import { PRINCIPAL_TYPE } from './cedar.schema.ts'
import { entitiesIn } from './cedar.ts'
import type { Policy } from './set.model.ts'

/** Who is named. An upper bound: of whoever is not in it, a set knows only that they are somebody. */
export interface Named {
  /** Ids of identities and tokens, wherever they stand: as entities, or as texts that are compared with attributes. */
  readonly ids: ReadonlySet<string>
  /** Some policy compares what tells who somebody is otherwise than for being equal, so that it could mean anybody. */
  readonly anybody: boolean
}

const KINDS: ReadonlySet<string> = new Set(Object.values(PRINCIPAL_TYPE))
/** Attributes that tell who somebody is: their own, and that of a thing, with which theirs can be compared. */
const TELLING: ReadonlySet<unknown> = new Set(['identity', 'actsFor', 'owner'])

const known = new WeakMap<readonly Policy[], Named>()

/** Whom policies name anywhere: what they permit and forbid, and in conditions. Read once for the same list. */
export function peopleNamed(policies: readonly Policy[]): Named {
  const before = known.get(policies)
  if (before !== undefined) return before
  const ids = new Set<string>()
  let anybody = false
  for (const { json } of policies) {
    const parts = [json.principal, json.resource, json.conditions]
    for (const { type, id } of entitiesIn(parts)) if (KINDS.has(type)) ids.add(id)
    for (const text of textsIn(json.conditions)) ids.add(text)
    anybody ||= comparesOtherwise(json.conditions)
  }
  const named = { ids, anybody }
  known.set(policies, named)
  return named
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null

/** `{ "Value": "…" }` */
const textOf = (part: unknown): string | null => (isObject(part) && typeof part.Value === 'string' ? part.Value : null)

/** Every text that conditions write down. */
function textsIn(part: unknown): string[] {
  if (!isObject(part)) return []
  const own = textOf(part)
  return [...(own === null ? [] : [own]), ...Object.values(part).flatMap(textsIn)]
}

/** `{ ".": { left, attr } }` of an attribute that tells who somebody is. */
function tells(part: unknown): boolean {
  return isObject(part) && isObject(part['.']) && TELLING.has(part['.'].attr)
}

/**
 * Whether such an attribute stands anywhere but beside `==`, with a text or another one on the other side. `has` does not look at it. Every
 * other use, also one that does not exist yet, counts.
 */
function comparesOtherwise(part: unknown): boolean {
  if (!isObject(part)) return false
  if (tells(part)) return true
  const equal = part['==']
  const sides = isObject(equal) && 'left' in equal && 'right' in equal ? [equal.left, equal.right] : []
  const isPlain = sides.some(tells) && sides.every((side) => tells(side) || textOf(side) !== null)
  return Object.values(isPlain ? ownersOf(sides) : part).some(comparesOtherwise)
}

/** Of what the attributes are: `principal` and `resource` are nothing further, but it may be an expression. */
function ownersOf(sides: readonly unknown[]): unknown[] {
  return sides.flatMap((side) => (isObject(side) && isObject(side['.']) ? [side['.'].left] : []))
}

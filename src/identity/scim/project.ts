/** Which attributes an answer carries (RFC 7644 section 3.9, RFC 7643 section 7 "returned"). */
import type { Json } from '../../kernel/index.ts'
import { type Attribute, type Chain, chainOf, isArray, isExtension, isObject, type JsonObject, type ResourceType } from './attribute.ts'
import { invalidSyntax, invalidValue } from './error.ts'

/** What a client asked to see. */
export interface Wanted {
  readonly attributes: readonly string[]
  readonly excludedAttributes: readonly string[]
}

const NAMES_MAX = 100

/** Names out of a query (one text with commas) or a search request (a list). Throws `invalidValue`, or `invalidSyntax` for both at once. */
export function readWanted(attributes: Json | undefined, excludedAttributes: Json | undefined): Wanted {
  const wanted = { attributes: namesIn(attributes), excludedAttributes: namesIn(excludedAttributes) }
  if (wanted.attributes.length > 0 && wanted.excludedAttributes.length > 0) {
    throw invalidSyntax('Ask for attributes or excludedAttributes, not for both.')
  }
  return wanted
}

function namesIn(given: Json | undefined): string[] {
  if (given === undefined || given === null) return []
  const texts = isArray(given) ? given : [given]
  if (texts.some((text) => typeof text !== 'string')) throw invalidValue('attributes and excludedAttributes are names.')
  const names = texts.flatMap((text) => String(text).split(',')).map((name) => name.trim())
  if (names.length > NAMES_MAX) throw invalidValue(`At most ${NAMES_MAX} attributes can be named.`)
  return names.filter((name) => name !== '')
}

/** Whether an answer will carry this top attribute: what it does not carry need not be read. */
export function carries(type: ResourceType, wanted: Wanted, name: string): boolean {
  const attribute = type.attributes.find((one) => one.name === name)
  return attribute !== undefined && keeps(attribute, chainsOf(type, wanted.attributes), chainsOf(type, wanted.excludedAttributes))
}

/** Names that no attribute has are passed over: nothing is shown for them, and nothing is left out. */
export function project(type: ResourceType, wanted: Wanted, resource: JsonObject): JsonObject {
  return projected(type.attributes, resource, chainsOf(type, wanted.attributes), chainsOf(type, wanted.excludedAttributes))
}

type Chains = readonly (readonly Attribute[])[] | null

function chainsOf(type: ResourceType, names: readonly string[]): Chains {
  if (names.length === 0) return null
  return names.map((name) => chainOf(type, name)).filter((chain): chain is Chain => chain !== null)
}

function projected(attributes: readonly Attribute[], value: JsonObject, shown: Chains, hidden: Chains): JsonObject {
  const kept: Record<string, Json> = {}
  for (const attribute of attributes) {
    const found = value[attribute.name]
    if (found === undefined || !keeps(attribute, shown, hidden)) continue
    const inside = (one: Json) => (isObject(one) ? projected(attribute.sub, one, below(attribute, shown), below(attribute, hidden)) : one)
    const inner = isArray(found) ? found.map(inside) : inside(found)
    if (isExtension(attribute) && isObject(inner) && Object.keys(inner).length === 0) continue
    kept[attribute.name] = inner
  }
  return kept
}

function keeps(attribute: Attribute, shown: Chains, hidden: Chains): boolean {
  if (attribute.returned === 'always') return true
  if (hidden?.some((chain) => chain.length === 1 && chain[0] === attribute)) return false
  if (shown === null) return attribute.returned === 'default'
  return shown.some((chain) => chain[0] === attribute)
}

/** What the chains say of the parts of an attribute. One that names the attribute itself asks for all of it. */
function below(attribute: Attribute, chains: Chains): Chains {
  if (chains === null) return null
  const mine = chains.filter((chain) => chain[0] === attribute)
  if (mine.some((chain) => chain.length === 1)) return null
  const rest = mine.map((chain) => chain.slice(1))
  return rest.length === 0 ? null : rest
}

/** What a client sent, made into what is kept: canonical names, checked types, nothing that it may not write. */
import { INVISIBLE, type Json } from '../../kernel/index.ts'
import { type Attribute, chainOf, isArray, isObject, type JsonObject, named, type ResourceType } from './attribute.ts'
import { isEqual } from './equal.ts'
import { invalidSyntax, invalidValue, ScimError } from './error.ts'

/** Most values of one attribute, members apart, and most members of one request. */
export const VALUES_MAX = 100
export const MEMBERS_MAX = 20_000
/** Most bytes of a user as it is kept. */
export const RESOURCE_BYTES = 128 * 1024

/**
 * A resource out of the body of POST or PUT. What is read-only, or is no attribute of the type, is left out (RFC 7644 section 3.3), and
 * so is `password`. A dotted or prefixed name at the top counts as its path. Throws `invalidSyntax`, `invalidValue`.
 */
export function readResource(type: ResourceType, body: Json): JsonObject {
  if (!isObject(body)) throw invalidSyntax('The body is not a JSON object.')
  checkSchemas(body, type.urn)
  const kept: Record<string, Json> = {}
  for (const [key, value] of Object.entries(body)) {
    const chain = chainOf(type, key)
    if (chain === null || chain[0].mutability === 'readOnly') continue
    // The value of a deeper name is wrapped from the inside out: `name.familyName: x` is `name: {familyName: x}`.
    const wrapped = chain.slice(1).reduceRight<Json>((inner, { name }) => ({ [name]: inner }), value)
    const cleaned = cleanValue(chain[0], wrapped)
    const present = kept[chain[0].name]
    if (cleaned === null) continue
    kept[chain[0].name] = isObject(present) && isObject(cleaned) ? merged(present, cleaned) : cleaned
  }
  return finished(type, kept)
}

/** `schemas` may be left out, but if it is there it names what it must. */
export function checkSchemas(body: JsonObject, urn: string): void {
  const key = Object.keys(body).find((name) => name.toLowerCase() === 'schemas')
  const schemas = key === undefined ? null : (body[key] ?? null)
  if (schemas === null) return
  const names = isArray(schemas) ? schemas : [schemas]
  if (!names.some((name) => typeof name === 'string' && name.toLowerCase() === urn.toLowerCase())) {
    throw invalidValue(`schemas does not name ${urn}.`)
  }
}

/** The rules that hold for a whole resource: what is required is there, and it is not too large. */
export function finished(type: ResourceType, resource: JsonObject): JsonObject {
  for (const { name, required } of type.attributes) {
    if (required && (resource[name] === undefined || resource[name] === '')) throw invalidValue(`${name} is required.`)
  }
  const { members: _, ...rest } = resource
  if (Buffer.byteLength(JSON.stringify(rest)) > RESOURCE_BYTES) {
    throw new ScimError(413, null, `A resource has at most ${RESOURCE_BYTES} bytes.`)
  }
  return resource
}

/** The value as it is kept; `null` for an unassigned one (RFC 7643 section 2.5). Throws `invalidValue`. */
export function cleanValue(attribute: Attribute, value: Json): Json {
  if (!attribute.multi) return cleanOne(attribute, isArray(value) && value.length === 1 ? (value[0] ?? null) : value)
  const given = value === null ? [] : isArray(value) ? value : [value]
  checkCount(attribute, given.length)
  const kept = given.map((one) => cleanOne(attribute, one)).filter((one) => one !== null)
  if (kept.filter(isPrimary).length > 1) throw invalidValue(`Only one value of ${attribute.name} can be primary.`)
  return kept.length === 0 ? null : kept
}

/** Throws `invalidValue` if an attribute may not have so many values. */
export function checkCount({ name }: Attribute, count: number): void {
  const most = name === 'members' ? MEMBERS_MAX : VALUES_MAX
  if (count > most) throw invalidValue(`${name} has at most ${most} values.`)
}

/** One value, also one element of a multi-valued attribute. */
export function cleanOne(attribute: Attribute, value: Json): Json {
  if (value === null) return null
  const { type, name } = attribute
  if (type === 'complex') return cleanComplex(attribute, value)
  if (type === 'boolean') return cleanBoolean(name, value)
  if (typeof value !== 'string') throw invalidValue(`${name} is a text.`)
  return cleanText(attribute, value)
}

function cleanComplex(attribute: Attribute, value: Json): Json {
  // Entra ID writes a manager as the bare id, others an address as the bare address.
  const whole = typeof value === 'string' && named(attribute.sub, 'value') !== null ? { value } : value
  if (!isObject(whole)) throw invalidValue(`${attribute.name} is an object.`)
  const kept: Record<string, Json> = {}
  for (const [key, inner] of Object.entries(whole)) {
    const sub = named(attribute.sub, key)
    if (sub === null || sub.mutability === 'readOnly') continue
    const cleaned = cleanValue(sub, inner)
    if (cleaned !== null) kept[sub.name] = cleaned
  }
  return Object.keys(kept).length === 0 ? null : kept
}

/** Entra ID sends "True" and "False". */
function cleanBoolean(name: string, value: Json): boolean {
  if (typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  if (text !== 'true' && text !== 'false') throw invalidValue(`${name} is true or false.`)
  return text === 'true'
}

function cleanText({ name, maxChars, isName, type }: Attribute, value: string): string {
  if (value.length > maxChars) throw invalidValue(`${name} has at most ${maxChars} characters.`)
  // Neither can be stored.
  if (value.includes('\u0000') || !value.isWellFormed()) throw invalidValue(`${name} has characters that are none.`)
  if (isName && (value.trim() === '' || INVISIBLE.test(value))) throw invalidValue(`${name} is empty or has invisible characters.`)
  if (type === 'binary' && !/^[A-Za-z0-9+/\s_-]*={0,2}\s*$/.test(value)) throw invalidValue(`${name} is not Base64.`)
  return value
}

function isPrimary(value: Json): boolean {
  return isObject(value) && value.primary === true
}

/** The sub-attributes of both; those of `over` win. */
export function merged(under: JsonObject, over: JsonObject): JsonObject {
  return { ...under, ...over }
}

/**
 * Elements joined to those that are there. One that is there already is not doubled (RFC 7644 section 3.5.2.1), and a new primary one
 * takes that place from the old (section 3.5.2).
 */
export function joined(present: readonly Json[], added: readonly Json[]): Json[] {
  const fresh = added.filter((one) => !present.some((other) => isEqual(one, other)))
  const before = fresh.some(isPrimary) ? present.map(demoted) : present
  return [...before, ...fresh]
}

/** The element without its claim to be the primary one. */
export function demoted(value: Json): Json {
  return isObject(value) && value.primary === true ? { ...value, primary: false } : value
}

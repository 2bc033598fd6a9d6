/** Attributes as data (RFC 7643 section 7), and how one is found by the name that a client wrote. */
import type { Json } from '../../kernel/index.ts'

export type JsonObject = { readonly [key: string]: Json }

/** One attribute, with the characteristics of RFC 7643 section 2.2. */
export interface Attribute {
  readonly name: string
  readonly description: string
  readonly type: 'string' | 'boolean' | 'integer' | 'dateTime' | 'reference' | 'binary' | 'complex'
  readonly multi: boolean
  readonly required: boolean
  readonly caseExact: boolean
  readonly mutability: 'readOnly' | 'readWrite' | 'immutable'
  readonly returned: 'always' | 'default' | 'request'
  readonly uniqueness: 'none' | 'server'
  readonly canonical: readonly string[]
  readonly references: readonly string[]
  /** Of a complex attribute: its sub-attributes. */
  readonly sub: readonly Attribute[]
  /** Most characters of a text. */
  readonly maxChars: number
  /** True: no invisible characters, since it becomes a name that people read. */
  readonly isName: boolean
}

const TEXT_CHARS = 1_024
const BINARY_CHARS = 24 * 1_024

/** An attribute with the defaults of RFC 7643 section 2.2. */
export function attribute(name: string, description: string, given: Partial<Attribute> = {}): Attribute {
  const type = given.type ?? (given.sub ? 'complex' : 'string')
  return {
    name,
    description,
    type,
    multi: false,
    required: false,
    caseExact: type === 'reference' || type === 'binary',
    mutability: 'readWrite',
    returned: 'default',
    uniqueness: 'none',
    canonical: [],
    references: [],
    sub: [],
    maxChars: type === 'binary' ? BINARY_CHARS : TEXT_CHARS,
    isName: false,
    ...given,
  }
}

/** A resource type: what it is made of. An extension stands among the attributes as a complex one whose name is its URN. */
export interface ResourceType {
  readonly name: 'User' | 'Group'
  readonly endpoint: '/Users' | '/Groups'
  readonly urn: string
  readonly attributes: readonly Attribute[]
}

/** True for the attribute that stands for a whole extension. */
export function isExtension({ name }: Attribute): boolean {
  return name.includes(':')
}

/** Names and URNs are compared without case (RFC 7643 section 2.1), so they are looked up by this. */
export function foldName(name: string): string {
  return name.toLowerCase()
}

/**
 * What two texts of an attribute that is not caseExact are compared by within this protocol: compatibility-composed, lower case. Whose name
 * or address it is, is told by `nameKey` and `addressKey`.
 */
export function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}

const MAPS = new WeakMap<readonly Attribute[], ReadonlyMap<string, Attribute>>()

/** The attribute of this name, in any case; null if there is none. A map, so that `__proto__` is a name like any other. */
export function named(attributes: readonly Attribute[], name: string): Attribute | null {
  let map = MAPS.get(attributes)
  if (map === undefined) {
    map = new Map(attributes.map((one) => [foldName(one.name), one]))
    MAPS.set(attributes, map)
  }
  return map.get(foldName(name)) ?? null
}

/** From the outermost attribute inwards: `[name, familyName]`, `[urn:…:User, manager, value]`. */
export type Chain = readonly [Attribute, ...Attribute[]]

/**
 * The attributes that a path of RFC 7644 section 3.10 names, filter apart: `name.familyName`, `urn:…:core:2.0:User:userName`,
 * `urn:…:enterprise:2.0:User:manager.value`, or a whole extension. Null if it names nothing that this type has.
 */
export function chainOf(type: Pick<ResourceType, 'urn' | 'attributes'>, path: string): Chain | null {
  const extension = type.attributes.find((one) => isExtension(one) && startsWithUrn(path, one.name))
  if (extension !== undefined) {
    if (path.length === extension.name.length) return [extension]
    const inner = within(extension.sub, path.slice(extension.name.length + 1))
    return inner === null ? null : [extension, ...inner]
  }
  return within(type.attributes, startsWithUrn(path, type.urn) ? path.slice(type.urn.length + 1) : path)
}

function startsWithUrn(path: string, urn: string): boolean {
  if (foldName(path.slice(0, urn.length)) !== foldName(urn)) return false
  return path.length === urn.length || path[urn.length] === ':'
}

/** A path of plain names among `attributes`. */
export function within(attributes: readonly Attribute[], path: string): Chain | null {
  const [head = '', ...rest] = path.split('.')
  const first = named(attributes, head)
  if (first === null) return null
  const chain: [Attribute, ...Attribute[]] = [first]
  let last = first
  for (const name of rest) {
    const next = named(last.sub, name)
    if (next === null) return null
    chain.push(next)
    last = next
  }
  return chain
}

/** The attribute at the end. */
export function lastOf(chain: Chain): Attribute {
  return chain.at(-1) ?? chain[0]
}

/** The names of a chain, as a message shows them. */
export function pathText(chain: Chain): string {
  return chain.map(({ name }) => name).join('.')
}

/** True for a JSON object (not an array, not `null`). */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** True for a JSON array; `Array.isArray` does not narrow a readonly one. */
export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

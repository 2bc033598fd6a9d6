/**
 * Types of the console's client out of the OpenAPI document: one entry for each operation, with its parameters, query, body and answer.
 * `openapi-typescript` needs the compiler's former API, which TypeScript 7 does not have.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'

type Schema = Readonly<{
  $ref?: string
  type?: string | readonly string[]
  enum?: readonly unknown[]
  const?: unknown
  anyOf?: readonly Schema[]
  oneOf?: readonly Schema[]
  allOf?: readonly Schema[]
  items?: Schema
  properties?: Readonly<Record<string, Schema>>
  required?: readonly string[]
  additionalProperties?: boolean | Schema
}>

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema: Schema
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>

interface Operation {
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}

/** The parts of an OpenAPI 3.1 document that are read. */
export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}

const HEAD = '/** Made out of docs/openapi.json by scripts/api-types.ts, whenever the console is checked: never by hand. */\n'
const REFERENCE = '#/components/schemas/'

/** The text of the module. Throws for what a schema may say that the API does not say today. */
export function apiTypes(document: ApiDocument): string {
  const used = new Set<string>()
  const paths = Object.entries(document.paths).sort(([a], [b]) => (a < b ? -1 : 1))
  const operations = paths
    .filter(([path]) => path.startsWith('/v1/'))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, one]) => operationType(`${method.toUpperCase()} ${path}`, one, used)),
    )
  const named = new Map<string, string>()
  // What a schema refers to may refer further.
  for (let wanted = [...used]; wanted.length > 0; wanted = [...used].filter((name) => !named.has(name))) {
    for (const name of wanted) named.set(name, typeOf(document.components?.schemas?.[name] ?? {}, used))
  }
  const types = [...named].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, type]) => `export type ${name} = ${type}\n`)
  return `${HEAD}${types.join('')}\nexport interface Operations {\n${operations.join('')}}\n`
}

function operationType(name: string, { parameters = [], requestBody, responses }: Operation, used: Set<string>): string {
  const of = (place: string) => objectType(parameters.filter((one) => one.in === place).map(asMember), used)
  const body = requestBody?.content['application/json']?.schema
  const answers = Object.entries(responses).filter(([status]) => status.startsWith('2'))
  const answer = [...new Set(answers.map(([, { content }]) => answerType(content, used)))].join(' | ')
  const parts = { params: of('path'), query: of('query'), body: body ? typeOf(body, used) : 'undefined', answer }
  const members = Object.entries(parts).map(([part, type]) => `    ${part}: ${type}\n`)
  return `  ${JSON.stringify(name).replaceAll('"', "'")}: {\n${members.join('')}  }\n`
}

function answerType(content: Content | undefined, used: Set<string>): string {
  if (content === undefined) return 'undefined'
  const schema = content['application/json']?.schema
  return schema ? typeOf(schema, used) : 'string'
}

interface Member {
  readonly name: string
  readonly required: boolean
  readonly schema: Schema
}

function asMember({ name, required = false, schema }: Parameter): Member {
  return { name, required, schema }
}

function objectType(members: readonly Member[], used: Set<string>): string {
  if (members.length === 0) return 'object'
  const fields = members.map(({ name, required, schema }) => `${keyOf(name)}${required ? '' : '?'}: ${typeOf(schema, used)}`)
  return `{ ${fields.join('; ')} }`
}

function keyOf(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)
}

function typeOf(schema: Schema, used: Set<string>): string {
  if (schema.$ref !== undefined) return referenceType(schema.$ref, used)
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const either = schema.anyOf ?? schema.oneOf
  if (either !== undefined) return [...new Set(either.map((one) => typeOf(one, used)))].join(' | ')
  if (schema.allOf !== undefined) return schema.allOf.map((one) => `(${typeOf(one, used)})`).join(' & ')
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type }, used)).join(' | ')
  return plainType(schema, used)
}

function referenceType(reference: string, used: Set<string>): string {
  if (!reference.startsWith(REFERENCE)) throw new Error(`No type for the reference ${reference}`)
  const name = reference.slice(REFERENCE.length)
  used.add(name)
  return name
}

function plainType(schema: Schema, used: Set<string>): string {
  switch (schema.type) {
    case 'string':
    case 'boolean':
    case 'null':
      return schema.type
    case 'integer':
    case 'number':
      return 'number'
    case 'array':
      return `(${typeOf(schema.items ?? {}, used)})[]`
    case 'object':
      return wholeObject(schema, used)
    case undefined:
      return 'unknown'
    default:
      throw new Error(`No type for a schema of type ${schema.type}`)
  }
}

function wholeObject({ properties, required = [], additionalProperties: more }: Schema, used: Set<string>): string {
  const members = Object.entries(properties ?? {}).map(([name, schema]) => ({ name, required: required.includes(name), schema }))
  if (members.length > 0) return objectType(members, used)
  return typeof more === 'object' ? `Record<string, ${typeOf(more, used)}>` : 'Record<string, unknown>'
}

/** Writes the types of docs/openapi.json to where the console looks for them. A build needs none: types leave nothing in it. */
export function writeApiTypes(): void {
  const folder = new URL('../console/api/generated/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const document: ApiDocument = JSON.parse(readFileSync(new URL('../docs/openapi.json', import.meta.url), 'utf8'))
  writeFileSync(new URL('schema.ts', folder), apiTypes(document))
}

if (import.meta.main) writeApiTypes()

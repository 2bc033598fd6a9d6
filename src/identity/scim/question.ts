/** The parameters of a list or a search (RFC 7644 sections 3.4.2 and 3.4.3), with defaults and bounds. */
import type { Json } from '../../kernel/index.ts'
import { isObject, type JsonObject } from './attribute.ts'
import { checkSchemas } from './clean.ts'
import { invalidSyntax, invalidValue } from './error.ts'
import { parseFilter } from './filter.parse.ts'
import { readWanted, type Wanted } from './project.ts'
import { type Found, PAGE_DEFAULT, PAGE_MAX, type Question } from './search.ts'

const LIST_URN = 'urn:ietf:params:scim:api:messages:2.0:ListResponse'
const SEARCH_URN = 'urn:ietf:params:scim:api:messages:2.0:SearchRequest'

/**
 * Out of a query string or the body of a search. Names in any case; what is not known is passed over, so are sortBy and sortOrder, since
 * sorting is declared as not supported. Throws `invalidValue`, `invalidFilter`.
 */
export function readQuestion(given: JsonObject): Question {
  const filter = member(given, 'filter') ?? null
  if (filter !== null && typeof filter !== 'string') throw invalidValue('filter is one text.')
  return {
    filter: filter === null || filter.trim() === '' ? null : parseFilter(filter),
    startIndex: Math.max(1, wholeNumber('startIndex', member(given, 'startindex'), 1)),
    count: Math.min(PAGE_MAX, Math.max(0, wholeNumber('count', member(given, 'count'), PAGE_DEFAULT))),
    wanted: wantedIn(given),
  }
}

/** The body of a POST to `.search`. */
export function readSearch(body: Json): Question {
  if (!isObject(body)) throw invalidSyntax('The body is not a JSON object.')
  checkSchemas(body, SEARCH_URN)
  return readQuestion(body)
}

/** `attributes` and `excludedAttributes` out of a query string. */
export function wantedIn(given: JsonObject): Wanted {
  return readWanted(member(given, 'attributes'), member(given, 'excludedattributes'))
}

/** A list answer (section 3.4.2). */
export function listView({ total, resources }: Found, startIndex: number): JsonObject {
  return { schemas: [LIST_URN], totalResults: total, startIndex, itemsPerPage: resources.length, Resources: resources }
}

function member(object: JsonObject, name: string): Json | undefined {
  const key = Object.keys(object).find((one) => one.toLowerCase() === name)
  return key === undefined ? undefined : object[key]
}

/** A whole number, given as JSON or as text. More than 2^31 counts as 2^31: no list is as long, so the page is empty either way. */
function wholeNumber(name: string, value: Json | undefined, fallback: number): number {
  if (value === undefined || value === null || value === '') return fallback
  const text = String(value)
  if (!/^-?\d{1,15}$/.test(text)) throw invalidValue(`${name} is a whole number.`)
  return Math.min(Number(text), 2 ** 31)
}

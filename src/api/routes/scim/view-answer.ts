import { BASE, etagOf, type JsonObject } from '../../../identity/scim/index.ts'
import type { ScimAnswer } from '../../scim.ts'

/** A resource with its entity tag; a new one also with its place (RFC 7644 section 3.3). */
export function resourceAnswer(status: 200 | 201, version: number, body: JsonObject, place?: { endpoint: string; id: string }): ScimAnswer {
  const headers: Record<string, string> = { etag: etagOf(version) }
  if (place !== undefined) headers.location = `${BASE}${place.endpoint}/${place.id}`
  return { status, body, headers }
}

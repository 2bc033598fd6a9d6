/** A stored row as the protocol shows it. */
import type { Json } from '../../kernel/index.ts'
import { fold, isArray, isObject, type JsonObject, type ResourceType } from './attribute.ts'
import type { GroupKeys, MemberRow } from './group.store.ts'
import { ENTERPRISE_URN, GROUP, USER } from './types.ts'
import type { GroupOfUser, ResourceRow, UserKeys } from './user.store.ts'

/** Where the protocol is. Paths are absolute without a host, which the server puts before where things are, if it knows it. */
export const BASE = '/scim/v2'

/** The weak entity tag of a version (RFC 7644 section 3.14). */
export function etagOf(version: number): string {
  return `W/"${version}"`
}

function locationOf({ endpoint }: ResourceType, id: string): string {
  return `${BASE}${endpoint}/${id}`
}

/** The whole user; `groups` are given only if they are to be shown. */
export function userView(row: ResourceRow, groups: readonly GroupOfUser[] = []): JsonObject {
  const enterprise = row.resource[ENTERPRISE_URN]
  return {
    schemas: enterprise === undefined ? [USER.urn] : [USER.urn, ENTERPRISE_URN],
    id: row.id,
    ...row.resource,
    ...(enterprise === undefined ? {} : { [ENTERPRISE_URN]: withManagerRef(enterprise) }),
    ...(groups.length === 0 ? {} : { groups: groups.map(groupOf) }),
    meta: metaOf(USER, row),
  }
}

function withManagerRef(enterprise: Json): Json {
  const id = managerOf({ [ENTERPRISE_URN]: enterprise })
  if (id === null || !isObject(enterprise)) return enterprise
  return { ...enterprise, manager: { value: id, $ref: locationOf(USER, encodeURIComponent(id)) } }
}

function groupOf({ group_id, display, direct }: GroupOfUser): JsonObject {
  return { value: group_id, $ref: locationOf(GROUP, group_id), display, type: direct ? 'direct' : 'indirect' }
}

export function groupView(row: ResourceRow, members: readonly MemberRow[]): JsonObject {
  return {
    schemas: [GROUP.urn],
    id: row.id,
    ...row.resource,
    ...(members.length === 0 ? {} : { members: members.map(memberOf) }),
    meta: metaOf(GROUP, row),
  }
}

export function memberOf({ member_id, is_user, display }: MemberRow): JsonObject {
  const type = is_user ? USER : GROUP
  return { value: member_id, $ref: locationOf(type, member_id), type: type.name, ...(display === null ? {} : { display }) }
}

function metaOf(type: ResourceType, { id, version, created_at, changed_at }: ResourceRow): JsonObject {
  return {
    resourceType: type.name,
    created: created_at.toISOString(),
    lastModified: changed_at.toISOString(),
    location: locationOf(type, id),
    version: etagOf(version),
  }
}

/** A text of a resource, or null. */
export function textOf(resource: JsonObject, name: string): string | null {
  const value = resource[name]
  return typeof value === 'string' ? value : null
}

/** The id that the provider names as the manager's. */
export function managerOf(resource: JsonObject): string | null {
  const enterprise = resource[ENTERPRISE_URN]
  const manager = isObject(enterprise) ? enterprise.manager : undefined
  return isObject(manager) ? textOf(manager, 'value') : null
}

/** What is searched by and kept unique. */
export function userKeys(resource: JsonObject): UserKeys {
  const emails = isArray(resource.emails) ? resource.emails : []
  const addresses = emails.flatMap((email) => (isObject(email) ? (textOf(email, 'value') ?? []) : []))
  return {
    userNameKey: fold(textOf(resource, 'userName') ?? ''),
    externalId: textOf(resource, 'externalId'),
    emailKeys: [...new Set(addresses.map(fold))],
  }
}

export function groupKeys(resource: JsonObject): GroupKeys {
  return { displayKey: fold(textOf(resource, 'displayName') ?? ''), externalId: textOf(resource, 'externalId') }
}

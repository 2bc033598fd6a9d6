/** What the server says of itself (RFC 7644 section 4, RFC 7643 sections 5 to 8). Made from the same data that requests are read by. */
import { type Attribute, attribute, isExtension, type JsonObject } from './attribute.ts'
import { notHere, ScimError } from './error.ts'
import { listView } from './question.ts'
import { PAGE_MAX } from './search.ts'
import { ENTERPRISE_ATTRIBUTES, ENTERPRISE_URN, GROUP, GROUP_ATTRIBUTES, GROUP_URN, USER, USER_ATTRIBUTES, USER_URN } from './types.ts'
import { BASE } from './view.ts'

const SCHEMA_URN = 'urn:ietf:params:scim:schemas:core:2.0:Schema'
const RESOURCE_TYPE_URN = 'urn:ietf:params:scim:schemas:core:2.0:ResourceType'
const CONFIG_URN = 'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'

/** Capabilities (RFC 7643 section 5). What is not supported is said so. */
export function serviceProviderConfig(): JsonObject {
  return {
    schemas: [CONFIG_URN],
    patch: { supported: true },
    bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
    filter: { supported: true, maxResults: PAGE_MAX },
    changePassword: { supported: false },
    sort: { supported: false },
    etag: { supported: true },
    authenticationSchemes: [
      {
        type: 'oauthbearertoken',
        name: 'Bearer token',
        description: 'A token of `rekey scim provider add`, as RFC 6750 section 2.1 sends it.',
        specUri: 'https://www.rfc-editor.org/info/rfc6750',
        primary: true,
      },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${BASE}/ServiceProviderConfig` },
  }
}

/** The resource types (RFC 7643 section 6). */
export function resourceTypes(): readonly JsonObject[] {
  return [USER, GROUP].map(({ name, endpoint, urn, attributes }) => ({
    schemas: [RESOURCE_TYPE_URN],
    id: name,
    name,
    description: name === 'User' ? 'A person.' : 'A team.',
    endpoint,
    schema: urn,
    ...(attributes.some(isExtension) ? { schemaExtensions: [{ schema: ENTERPRISE_URN, required: false }] } : {}),
    meta: { resourceType: 'ResourceType', location: `${BASE}/ResourceTypes/${name}` },
  }))
}

/** The schemas (RFC 7643 section 7), those of the discovery documents themselves included (section 8.7.2). */
export function schemas(): readonly JsonObject[] {
  return [
    schema(USER_URN, 'User', 'A person.', USER_ATTRIBUTES),
    schema(GROUP_URN, 'Group', 'A team.', GROUP_ATTRIBUTES),
    schema(ENTERPRISE_URN, 'EnterpriseUser', 'What an enterprise knows of a person.', ENTERPRISE_ATTRIBUTES),
    schema(CONFIG_URN, 'ServiceProviderConfig', 'What the server can do.', CONFIG_ATTRIBUTES),
    schema(RESOURCE_TYPE_URN, 'ResourceType', 'A type of resource.', RESOURCE_TYPE_ATTRIBUTES),
    schema(SCHEMA_URN, 'Schema', 'What a resource is made of.', SCHEMA_ATTRIBUTES),
  ]
}

/** One of the documents, by its id in any case. Throws 404. */
export function discoveryOne(documents: readonly JsonObject[], id: string): JsonObject {
  const found = documents.find((one) => String(one.id).toLowerCase() === id.toLowerCase())
  if (found === undefined) throw notHere()
  return found
}

/** All of them as a list. Section 4: a filter is refused, and paging is not done. */
export function discoveryList(documents: readonly JsonObject[], query: JsonObject): JsonObject {
  if (Object.keys(query).some((name) => name.toLowerCase() === 'filter')) {
    throw new ScimError(403, null, 'Discovery documents cannot be filtered.')
  }
  return listView({ total: documents.length, resources: documents }, 1)
}

function schema(id: string, name: string, description: string, attributes: readonly Attribute[]): JsonObject {
  return {
    schemas: [SCHEMA_URN],
    id,
    name,
    description,
    attributes: attributes.map(definition),
    meta: { resourceType: 'Schema', location: `${BASE}/Schemas/${id}` },
  }
}

function definition(one: Attribute): JsonObject {
  const { name, type, multi, description, required, caseExact, mutability, returned, uniqueness, canonical, references, sub } = one
  return {
    name,
    type,
    multiValued: multi,
    description,
    required,
    caseExact,
    mutability,
    returned,
    uniqueness,
    ...(canonical.length === 0 ? {} : { canonicalValues: canonical }),
    ...(type === 'reference' ? { referenceTypes: references } : {}),
    ...(sub.length === 0 ? {} : { subAttributes: sub.map(definition) }),
  }
}

const fixed = { mutability: 'readOnly' } as const
const said = (name: string, what: string, given: Partial<Attribute> = {}) => attribute(name, what, { ...fixed, required: true, ...given })
const flag = (name: string, what: string) => said(name, what, { type: 'boolean' })
const link = (name: string, what: string) => said(name, what, { type: 'reference', references: ['uri'] })
const option = (name: string, what: string, sub: readonly Attribute[] = []) =>
  said(name, what, { sub: [flag('supported', 'Whether the server can do it.'), ...sub] })
const number = (name: string, what: string) => said(name, what, { type: 'integer' })

const CONFIG_ATTRIBUTES: readonly Attribute[] = [
  attribute('documentationUri', 'Where to read about it.', { ...fixed, type: 'reference', references: ['external'] }),
  option('patch', 'PATCH.'),
  option('bulk', 'Many operations at once.', [number('maxOperations', 'Most operations.'), number('maxPayloadSize', 'Most bytes.')]),
  option('filter', 'Filters.', [number('maxResults', 'Most resources of one page.')]),
  option('changePassword', 'Passwords.'),
  option('sort', 'Sorting.'),
  option('etag', 'Versions.'),
  said('authenticationSchemes', 'How a provider proves itself.', {
    multi: true,
    sub: [
      said('type', 'Which scheme.', { canonical: ['oauthbearertoken'] }),
      said('name', 'Its name.'),
      said('description', 'What it is.'),
      attribute('specUri', 'Its specification.', { ...fixed, type: 'reference', references: ['external'] }),
      attribute('documentationUri', 'Where to read about it.', { ...fixed, type: 'reference', references: ['external'] }),
      attribute('primary', 'Whether it is the preferred one.', { ...fixed, type: 'boolean' }),
    ],
  }),
]

const RESOURCE_TYPE_ATTRIBUTES: readonly Attribute[] = [
  said('name', 'Its name.'),
  attribute('description', 'What it is.', fixed),
  link('endpoint', 'Where its resources are.'),
  link('schema', 'Its schema.'),
  attribute('schemaExtensions', 'Its extensions.', {
    ...fixed,
    multi: true,
    sub: [link('schema', 'The schema of the extension.'), flag('required', 'Whether every resource has it.')],
  }),
]

const FACTS = (deeper: readonly Attribute[]): readonly Attribute[] => [
  said('name', 'Its name.', { caseExact: true }),
  said('type', 'Its type.', {
    canonical: ['string', 'boolean', 'dateTime', 'reference', 'binary', 'complex', 'integer', 'decimal'],
  }),
  flag('multiValued', 'Whether it has several values.'),
  attribute('description', 'What it is.', { ...fixed, caseExact: true }),
  attribute('required', 'Whether it must be there.', { ...fixed, type: 'boolean' }),
  attribute('canonicalValues', 'Values that are usual.', { ...fixed, multi: true, caseExact: true }),
  attribute('caseExact', 'Whether upper and lower case differ.', { ...fixed, type: 'boolean' }),
  attribute('mutability', 'Who may write it.', { ...fixed, caseExact: true }),
  attribute('returned', 'When it is shown.', { ...fixed, caseExact: true }),
  attribute('uniqueness', 'Among what it is unique.', { ...fixed, caseExact: true }),
  attribute('referenceTypes', 'What it refers to.', { ...fixed, multi: true, caseExact: true }),
  ...deeper,
]

const SCHEMA_ATTRIBUTES: readonly Attribute[] = [
  said('name', 'Its name.'),
  attribute('description', 'What it is.', fixed),
  said('attributes', 'Its attributes.', {
    multi: true,
    sub: FACTS([attribute('subAttributes', 'The parts of a complex one.', { ...fixed, multi: true, sub: FACTS([]) })]),
  }),
]

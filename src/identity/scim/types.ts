/** The two resource types, as data (RFC 7643 sections 3.1, 4.1, 4.2 and 4.3). */
import { LIMITS } from '../../kernel/index.ts'
import { type Attribute, attribute, type ResourceType } from './attribute.ts'

export const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User'
export const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group'
export const ENTERPRISE_URN = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

const readOnly = { mutability: 'readOnly' } as const

/** What every resource has (RFC 7643 section 3.1). These stand in no published schema. */
export const COMMON: readonly Attribute[] = [
  attribute('schemas', 'URNs of the schemas that the resource holds to.', {
    ...readOnly,
    type: 'reference',
    multi: true,
    caseExact: false,
    returned: 'always',
  }),
  attribute('id', 'The id that this server gave. Never changes, never used again.', { ...readOnly, caseExact: true, returned: 'always' }),
  attribute('externalId', "The provider's own id of the resource.", { caseExact: true }),
  attribute('meta', 'What the server knows of the resource.', {
    ...readOnly,
    sub: [
      attribute('resourceType', 'User or Group.', { ...readOnly, caseExact: true }),
      attribute('created', 'When it was made.', { ...readOnly, type: 'dateTime' }),
      attribute('lastModified', 'When it changed last.', { ...readOnly, type: 'dateTime' }),
      attribute('location', 'Where it is.', { ...readOnly, type: 'reference', references: ['uri'] }),
      attribute('version', 'Its weak entity tag.', { ...readOnly, caseExact: true }),
    ],
  }),
]

/** A multi-valued attribute with the sub-attributes of RFC 7643 section 2.4. */
function several(name: string, what: string, value: Attribute, canonical: readonly string[] = []): Attribute {
  return attribute(name, what, {
    multi: true,
    sub: [
      value,
      attribute('display', 'A name for people to read.'),
      attribute('type', 'What it is for.', { canonical }),
      attribute('primary', 'Whether it is the preferred one; at most one is.', { type: 'boolean' }),
    ],
  })
}

const text = (what: string) => attribute('value', what)
const link = (what: string) => attribute('value', what, { type: 'reference', references: ['external'] })

const NAME = attribute('name', 'The parts of the name.', {
  sub: [
    attribute('formatted', 'The whole name, as it is written.'),
    attribute('familyName', 'The last name in most Western languages.'),
    attribute('givenName', 'The first name in most Western languages.'),
    attribute('middleName', 'Middle names.'),
    attribute('honorificPrefix', 'What stands before the name.'),
    attribute('honorificSuffix', 'What stands behind the name.'),
  ],
})

const ADDRESSES = attribute('addresses', 'Postal addresses.', {
  multi: true,
  sub: [
    attribute('formatted', 'The whole address.'),
    attribute('streetAddress', 'Street and number.'),
    attribute('locality', 'City.'),
    attribute('region', 'State or region.'),
    attribute('postalCode', 'Postal code.'),
    attribute('country', 'Country.'),
    attribute('type', 'What it is for.', { canonical: ['work', 'home', 'other'] }),
    attribute('primary', 'Whether it is the preferred one.', { type: 'boolean' }),
  ],
})

const GROUPS = attribute('groups', 'Groups of this provider that the user is in, directly or through another group.', {
  ...readOnly,
  multi: true,
  sub: [
    attribute('value', 'Id of the group.', { ...readOnly, caseExact: true }),
    attribute('$ref', 'Where the group is.', { ...readOnly, type: 'reference', references: ['Group'] }),
    attribute('display', 'Name of the group.', readOnly),
    attribute('type', 'direct or indirect.', { ...readOnly, canonical: ['direct', 'indirect'] }),
  ],
})

/** RFC 7643 section 4.1, without `password`: it is never asked for, and dropped where it is sent. */
export const USER_ATTRIBUTES: readonly Attribute[] = [
  attribute('userName', 'The name to log in with; one user of a provider has it.', {
    required: true,
    uniqueness: 'server',
    maxChars: LIMITS.nameChars,
    isName: true,
  }),
  NAME,
  attribute('displayName', 'The name to show.'),
  attribute('nickName', 'What the user is called.'),
  attribute('profileUrl', 'A page about the user.', { type: 'reference', references: ['external'] }),
  attribute('title', 'Job title.'),
  attribute('userType', 'Relation to the organisation.'),
  attribute('preferredLanguage', 'Language to speak.'),
  attribute('locale', 'Where dates and numbers are written as there.'),
  attribute('timezone', 'Time zone by its IANA name.'),
  attribute('active', 'False suspends at once, and offboards after the delay of the provider.', { type: 'boolean' }),
  several('emails', 'Email addresses.', text('The address.'), ['work', 'home', 'other']),
  several('phoneNumbers', 'Telephone numbers.', text('The number.'), ['work', 'home', 'mobile', 'fax', 'pager', 'other']),
  several('ims', 'Instant messaging addresses.', text('The address.')),
  several('photos', 'Pictures.', link('Where the picture is.'), ['photo', 'thumbnail']),
  ADDRESSES,
  GROUPS,
  several('entitlements', 'What the provider says the user has. Grants nothing here.', text('The entitlement.')),
  several('roles', 'Who the provider says the user is. Grants nothing here.', text('The role.')),
  several('x509Certificates', 'Certificates.', attribute('value', 'DER, in Base64.', { type: 'binary' })),
]

/** RFC 7643 section 4.3. */
export const ENTERPRISE_ATTRIBUTES: readonly Attribute[] = [
  attribute('employeeNumber', 'Number of the employee.'),
  attribute('costCenter', 'Cost centre.'),
  attribute('organization', 'Organisation.'),
  attribute('division', 'Division.'),
  attribute('department', 'Department.'),
  attribute('manager', 'The manager, who takes over what a leaver owned.', {
    sub: [
      attribute('value', 'Id of the manager among the users of this provider.', { caseExact: true }),
      attribute('$ref', 'Where the manager is.', { type: 'reference', references: ['User'] }),
    ],
  }),
]

/** RFC 7643 section 4.2. */
export const GROUP_ATTRIBUTES: readonly Attribute[] = [
  attribute('displayName', 'The name of the group.', { required: true, maxChars: LIMITS.nameChars, isName: true }),
  attribute('members', 'Users and groups of this provider.', {
    multi: true,
    sub: [
      attribute('value', 'Id of the member.', { mutability: 'immutable', caseExact: true }),
      attribute('$ref', 'Where the member is.', { mutability: 'immutable', type: 'reference', references: ['User', 'Group'] }),
      attribute('type', 'User or Group.', { mutability: 'immutable', canonical: ['User', 'Group'] }),
      attribute('display', 'Name of the member.', { ...readOnly, returned: 'request' }),
    ],
  }),
]

export const USER: ResourceType = {
  name: 'User',
  endpoint: '/Users',
  urn: USER_URN,
  attributes: [
    ...COMMON,
    ...USER_ATTRIBUTES,
    attribute(ENTERPRISE_URN, 'The enterprise extension.', { type: 'complex', sub: ENTERPRISE_ATTRIBUTES }),
  ],
}

export const GROUP: ResourceType = {
  name: 'Group',
  endpoint: '/Groups',
  urn: GROUP_URN,
  attributes: [...COMMON, ...GROUP_ATTRIBUTES],
}

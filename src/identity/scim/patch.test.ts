import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../kernel/index.ts'
import type { JsonObject } from './attribute.ts'
import { readResource } from './clean.ts'
import { ScimError } from './error.ts'
import { applySteps, readPatch } from './patch.ts'
import { project, readWanted } from './project.ts'
import { ENTERPRISE_URN as ENTERPRISE, USER } from './types.ts'

const ada = readResource(USER, {
  userName: 'ada',
  active: true,
  title: 'Countess',
  name: { givenName: 'Ada', familyName: 'Lovelace' },
  emails: [
    { value: 'a@work', type: 'work', primary: true },
    { value: 'a@home', type: 'home' },
  ],
  [ENTERPRISE]: { department: 'Engines' },
})

const patched = (...operations: Json[]) => applySteps(USER, ada, readPatch(USER, { Operations: operations }))
const [work, home] = ada.emails as readonly [JsonObject, JsonObject]

test.each([
  ['path form', { op: 'replace', path: 'active', value: false }],
  ['op in any case', { op: 'Replace', path: 'Active', value: false }],
  ['no path', { op: 'replace', value: { active: false } }],
  ['no path, other case', { Op: 'REPLACE', Value: { ACTIVE: false } }],
  ['the text "False"', { op: 'Replace', path: 'active', value: 'False' }],
  ['the text, no path', { op: 'replace', value: { active: 'False' } }],
  ['an array of one', { op: 'replace', path: 'active', value: [false] }],
  ['urn-prefixed', { op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User:active', value: 'false' }],
  ['add', { op: 'add', path: 'active', value: false }],
  ['null path', { op: 'add', path: null, value: { active: false } }],
])('a leaver in the %s', (_, operation) => {
  expect(patched(operation)).toEqual({ ...ada, active: false })
})

test.each<[string, Json, Json]>([
  ['sub-attribute', { op: 'replace', path: 'name.familyName', value: 'King' }, { name: { givenName: 'Ada', familyName: 'King' } }],
  ['complex merges', { op: 'replace', path: 'name', value: { familyName: 'King' } }, { name: { givenName: 'Ada', familyName: 'King' } }],
  ['dotted key without a path', { op: 'add', value: { 'name.familyName': 'King' } }, { name: { givenName: 'Ada', familyName: 'King' } }],
  ['part by null', { op: 'replace', path: 'name', value: { familyName: null } }, { name: { givenName: 'Ada' } }],
  [
    'chosen element',
    { op: 'replace', path: 'emails[type eq "work"].value', value: 'n@work' },
    { emails: [{ ...work, value: 'n@work' }, home] },
  ],
  [
    'filter as key',
    { op: 'replace', value: { 'emails[type eq "work"].value': 'n@work' } },
    { emails: [{ ...work, value: 'n@work' }, home] },
  ],
  ['whole element', { op: 'replace', path: 'EMAILS[TYPE EQ "home"]', value: { value: 'x' } }, { emails: [work, { value: 'x' }] }],
  [
    'add merges into the element',
    { op: 'add', path: 'emails[type eq "home"]', value: { display: 'd' } },
    { emails: [work, { ...home, display: 'd' }] },
  ],
  [
    'add where nothing is chosen makes it',
    { op: 'add', path: 'emails[type eq "other"].value', value: 'o' },
    { emails: [work, home, { type: 'other', value: 'o' }] },
  ],
  ['add appends', { op: 'add', path: 'emails', value: [{ value: 'z' }] }, { emails: [work, home, { value: 'z' }] }],
  ['add of one, not a list', { op: 'add', path: 'emails', value: { value: 'z' } }, { emails: [work, home, { value: 'z' }] }],
  ['add of a bare text', { op: 'add', path: 'emails', value: 'z' }, { emails: [work, home, { value: 'z' }] }],
  ['add of what is there', { op: 'add', path: 'emails', value: [{ type: 'home', value: 'a@home' }] }, {}],
  [
    'a new primary one takes the place',
    { op: 'add', path: 'emails', value: [{ value: 'z', primary: true }] },
    { emails: [{ ...work, primary: false }, home, { value: 'z', primary: true }] },
  ],
  [
    'an old one becomes primary',
    { op: 'replace', path: 'emails[type eq "home"].primary', value: 'True' },
    {
      emails: [
        { ...work, primary: false },
        { ...home, primary: true },
      ],
    },
  ],
  ['replace sets', { op: 'replace', path: 'emails', value: [{ value: 'z' }] }, { emails: [{ value: 'z' }] }],
  ['remove a chosen one', { op: 'remove', path: 'emails[type eq "work"]' }, { emails: [home] }],
  ['remove by value list', { op: 'Remove', path: 'emails', value: [{ value: 'a@work' }] }, { emails: [home] }],
  ['remove by an empty list', { op: 'remove', path: 'emails', value: [] }, {}],
  ['remove part of one', { op: 'remove', path: 'emails[type eq "work"].primary' }, { emails: [{ value: 'a@work', type: 'work' }, home] }],
  ['remove what is not there', { op: 'remove', path: 'emails[type eq "other"]' }, {}],
  ['extension by urn', { op: 'add', path: `${ENTERPRISE}:department`, value: 'Sums' }, { [ENTERPRISE]: { department: 'Sums' } }],
  ['extension as key', { op: 'add', value: { [`${ENTERPRISE}:department`]: 'Sums' } }, { [ENTERPRISE]: { department: 'Sums' } }],
  ['extension as object', { op: 'replace', value: { [ENTERPRISE]: { Department: 'Sums' } } }, { [ENTERPRISE]: { department: 'Sums' } }],
  [
    'manager as bare id',
    { op: 'Add', path: `${ENTERPRISE}:manager`, value: 'm' },
    { [ENTERPRISE]: { department: 'Engines', manager: { value: 'm' } } },
  ],
  ['read-only without a path is passed over', { op: 'replace', value: { id: 'x', groups: [], meta: {}, title: 'T' } }, { title: 'T' }],
  ['a password is dropped', { op: 'replace', value: { password: 'secret', title: 'T' } }, { title: 'T' }],
])('%s', (_, operation, changes) => {
  expect(patched(operation)).toEqual({ ...ada, ...(changes as JsonObject) })
})

test.each(['title', 'name', 'emails', 'active', ENTERPRISE])('remove %s', (path) => {
  const { [path]: _, ...rest } = ada
  expect(patched({ op: 'remove', path })).toEqual(rest)
  expect(patched({ op: 'replace', path, value: path === 'emails' ? [] : null })).toEqual(rest)
})

test.each<[string, Json]>([
  ['noTarget', { op: 'remove' }],
  ['noTarget', { op: 'replace', path: 'emails[type eq "other"].value', value: 'x' }],
  ['noTarget', { op: 'add', path: 'emails[value co "nobody"].display', value: 'x' }],
  ['invalidPath', { op: 'replace', path: 'actve', value: false }],
  ['invalidPath', { op: 'replace', value: { actve: false } }],
  ['invalidPath', { op: 'replace', path: 'password', value: 'x' }],
  ['invalidPath', { op: 'replace', path: '__proto__.x', value: 'x' }],
  ['invalidPath', { op: 'add', path: 'name[givenName eq "x"]', value: 'x' }],
  ['invalidPath', { op: 'add', path: `${ENTERPRISE}:nothing`, value: 'x' }],
  ['invalidPath', { op: 'add', path: 'emails[type eq]', value: 'x' }],
  ['invalidFilter', { op: 'add', path: 'emails[nothing eq "x"]', value: 'x' }],
  ['mutability', { op: 'replace', path: 'id', value: 'x' }],
  ['mutability', { op: 'replace', path: 'meta.created', value: 'x' }],
  ['mutability', { op: 'remove', path: 'userName' }],
  ['mutability', { op: 'replace', path: 'userName', value: null }],
  ['invalidValue', { op: 'replace', path: 'active', value: 'perhaps' }],
  ['invalidValue', { op: 'replace', path: 'active', value: 0 }],
  ['invalidValue', { op: 'replace', path: 'title', value: { a: 1 } }],
  ['invalidValue', { op: 'replace', path: 'title', value: '\u0000' }],
  ['invalidValue', { op: 'replace', path: 'title', value: '\ud800' }],
  ['invalidValue', { op: 'replace', path: 'userName', value: ' ' }],
  ['invalidValue', { op: 'replace', path: 'userName', value: 'a\u202eb' }],
  ['invalidValue', { op: 'add', path: 'emails[type eq "\\u0000"].value', value: 'x' }],
  [
    'invalidValue',
    {
      op: 'add',
      path: 'emails',
      value: [
        { primary: true, value: '1' },
        { primary: true, value: '2' },
      ],
    },
  ],
  ['invalidValue', { op: 'add', path: 'emails', value: Array.from({ length: 101 }, (_, n) => ({ value: `${n}` })) }],
  ['invalidValue', { op: 'add', path: 'title' }],
  ['invalidSyntax', { op: 'move', path: 'title', value: 'x' }],
  ['invalidSyntax', { op: 'add', value: 'x' }],
  ['invalidSyntax', 'replace'],
])('%s: %j', (scimType, operation) => {
  expect(() => patched(operation)).toThrow(expect.objectContaining({ status: 400, scimType }))
})

test('operations are done in their order, and none is if one fails', () => {
  expect(patched({ op: 'add', path: 'title', value: 'A' }, { op: 'remove', path: 'title' }).title).toBeUndefined()
  const before = structuredClone(ada)
  expect(() => patched({ op: 'replace', path: 'title', value: 'A' }, { op: 'replace', path: 'active', value: 'x' })).toThrow(ScimError)
  expect(ada).toEqual(before)
})

/** Any letter in any case: nothing hangs on how a client spells a name. */
const spelled = (name: string) =>
  fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .map((upper) => Array.from(name, (letter, at) => (upper[at] ? letter.toUpperCase() : letter.toLowerCase())).join(''))

test('names in any case, in paths, keys and sub-attributes, are the same names', () => {
  fc.assert(
    fc.property(spelled('name'), spelled('familyName'), spelled('emails'), spelled(ENTERPRISE), spelled('department'), (...names) => {
      const [name, family, emails, urn, department] = names
      const after = patched(
        { op: 'replace', path: `${name}.${family}`, value: 'K' },
        { op: 'add', value: { [emails]: [{ VALUE: 'z' }], [urn]: { [department]: 'D' } } },
      )
      expect(after).toEqual({
        ...ada,
        name: { givenName: 'Ada', familyName: 'K' },
        emails: [work, home, { value: 'z' }],
        [ENTERPRISE]: { department: 'D' },
      })
    }),
    { numRuns: 200 },
  )
})

const path = fc.constantFrom(
  'active',
  'userName',
  'title',
  'name',
  'name.givenName',
  'emails',
  'emails.value',
  'emails[type eq "work"]',
  'emails[type eq "work"].value',
  'emails[not (type eq "work")].primary',
  'x509Certificates.value',
  ENTERPRISE,
  `${ENTERPRISE}:manager`,
  `${ENTERPRISE}:manager.value`,
  'members',
  'id',
  'nonsense',
)
const value = fc.oneof(
  fc.constantFrom<Json>(null, true, 'False', '', [], {}, { value: 'v' }, [{ value: 'v', primary: true }], { manager: 'm' }),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
)
const operation = fc.oneof(
  fc.record({ op: fc.constantFrom('add', 'Replace', 'REMOVE', 'x'), path, value }, { requiredKeys: ['op'] }),
  fc.record({ op: fc.constantFrom('add', 'replace'), value: fc.dictionary(path, value, { maxKeys: 3 }) }),
  fc.jsonValue({ maxDepth: 2 }),
) as fc.Arbitrary<Json>

test('whatever is sent: a whole resource that would be accepted again, or a refusal in the words of SCIM', () => {
  let accepted = 0
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 4 }), (operations) => {
      const before = JSON.stringify(ada)
      try {
        const after = patched(...operations)
        expect(readResource(USER, after)).toEqual(after)
        accepted++
      } catch (error) {
        expect(error).toBeInstanceOf(ScimError)
      }
      expect(JSON.stringify(ada)).toBe(before)
    }),
    { numRuns: 3_000 },
  )
  expect(accepted).toBeGreaterThan(100)
})

test('attributes and excludedAttributes', () => {
  const full: JsonObject = { schemas: [USER.urn], id: '1', ...ada, meta: { version: 'W/"1"', created: 'now' } }
  const show = (attributes?: string, excluded?: string) => project(USER, readWanted(attributes, excluded), full)
  const always = { schemas: [USER.urn], id: '1' }
  expect(show()).toEqual(full)
  expect(show('USERNAME,name.givenName,emails.value')).toEqual({
    ...always,
    userName: 'ada',
    name: { givenName: 'Ada' },
    emails: [{ value: 'a@work' }, { value: 'a@home' }],
  })
  expect(show('name.givenName,name')).toEqual({ ...always, name: ada.name })
  expect(show(`${ENTERPRISE}:department`)).toEqual({ ...always, [ENTERPRISE]: { department: 'Engines' } })
  expect(show('nothing')).toEqual(always)
  const { emails: _, ...rest } = full
  expect(show(undefined, 'emails, id, name.familyName, nothing')).toEqual({ ...rest, name: { givenName: 'Ada' } })
  expect(() => show('id', 'id')).toThrow(ScimError)
})

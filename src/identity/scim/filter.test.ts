import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../kernel/index.ts'
import { planOf } from './driver.ts'
import { ScimError } from './error.ts'
import { bindFilter, matches } from './filter.match.ts'
import { FILTER_BOUNDS, type Filter, parseFilter, parsePath } from './filter.parse.ts'
import { GROUP, USER } from './types.ts'

const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const ada: Json = {
  userName: 'Ada.Lovelace@Example.com',
  externalId: 'A-1',
  active: false,
  title: 'say "hi" \\ bye',
  name: { familyName: 'Lovelace', givenName: 'Ada' },
  emails: [
    { value: 'ada@work.example', type: 'work', primary: true },
    { value: 'ada@home.example', type: 'home' },
  ],
  meta: { lastModified: '2026-03-01T12:00:00.000Z', resourceType: 'User' },
  [ENTERPRISE]: { department: 'Engines', manager: { value: 'm-1' } },
}
const holds = (text: string) => matches(bindFilter(USER, parseFilter(text)), ada)

test.each([
  'userName eq "ada.lovelace@example.com"',
  'USERNAME Eq "ADA.LOVELACE@EXAMPLE.COM"',
  'urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ada"',
  'URN:IETF:PARAMS:SCIM:SCHEMAS:CORE:2.0:user:name.familyname co "love"',
  'externalId eq "A-1"',
  'active eq false',
  'active eq "False"',
  'active ne true',
  'not (active eq true)',
  'not(active eq true)',
  'title eq "say \\"hi\\" \\\\ bye"',
  'title co "\\u0068i"',
  'emails co "home.example"',
  'emails[type eq "work" and value ew "work.example"]',
  'emails[type eq "home"] and emails[primary eq true]',
  'emails.type eq "WORK"',
  'emails pr and name.givenName pr and not (nickName pr)',
  'nickName eq null and userName ne null',
  'nickName ne "x"',
  'meta.lastModified gt "2026-03-01T13:00:00+02:00"',
  'meta.lastModified ge "2026-03-01T12:00:00Z" and meta.lastModified le "2026-03-01T12:00:00Z"',
  `${ENTERPRISE}:department eq "engines"`,
  `${ENTERPRISE}:manager.value eq "m-1"`,
  'userName eq "no" or active eq false and externalId eq "A-1"',
  '(userName eq "no" or active eq false) and externalId eq "A-1"',
  'userName gt "abc"',
])('%s holds', (text) => expect(holds(text)).toBe(true))

test.each([
  'externalId eq "a-1"',
  'emails[type eq "home" and primary eq true]',
  'emails ne "ada@work.example"',
  'meta.lastModified lt "2026-03-01T12:00:00Z"',
  'nickName co ""',
  'groups pr',
  'active eq true or nickName pr',
])('%s does not hold', (text) => expect(holds(text)).toBe(false))

test.each([
  '',
  'userName',
  'userName eq',
  'userName eq ada',
  "userName eq 'ada'",
  'userName eq "ada',
  'userName is "ada"',
  'userName eq "a" and',
  'and userName eq "a"',
  '(userName eq "a"',
  'userName eq "a")',
  'emails[type eq "work"',
  'emails[type eq "work"] eq "x"',
  'emails[type eq "work"].value eq "x"',
  'emails[emails[type eq "x"]]',
  'userName[value eq "x"]',
  'password eq "x"',
  'nothing eq "x"',
  '__proto__ pr',
  'constructor.name pr',
  'name eq "x"',
  'active gt true',
  'active eq "perhaps"',
  'userName eq 1',
  'userName gt null',
  'meta.lastModified gt "yesterday"',
  'userName eq "\\x"',
  'userName eq "a"; drop table scim_user',
])('%j is refused as invalidFilter', (text) => {
  expect(() => holds(text)).toThrow(expect.objectContaining({ status: 400, scimType: 'invalidFilter' }))
})

test('length, comparisons and brackets are bounded', () => {
  const term = 'title pr'
  const joined = (count: number) => Array(count).fill(term).join(' or ')
  expect(holds(joined(FILTER_BOUNDS.terms))).toBe(true)
  expect(() => holds(joined(FILTER_BOUNDS.terms + 1))).toThrow(ScimError)
  const nested = (depth: number) => `${'('.repeat(depth)}${term}${')'.repeat(depth)}`
  expect(holds(nested(FILTER_BOUNDS.depth))).toBe(true)
  expect(() => holds(nested(FILTER_BOUNDS.depth + 1))).toThrow(ScimError)
  expect(() => holds(`title eq "${'x'.repeat(FILTER_BOUNDS.chars)}"`)).toThrow(ScimError)
  expect(() => holds('('.repeat(FILTER_BOUNDS.chars))).toThrow(ScimError)
})

test('any text is read or refused as invalidFilter, within milliseconds', () => {
  const word = fc.constantFrom(
    'userName',
    'emails',
    '[',
    ']',
    '(',
    ')',
    'and',
    'or',
    'not',
    'eq',
    'pr',
    '"x"',
    '"\\',
    '.value',
    '1e9',
    '-',
    '"',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(word, { maxLength: 60 }).map((words) => words.join(' ')),
  )
  fc.assert(
    fc.property(text, (given) => {
      for (const read of [() => holds(given), () => parsePath(given)]) {
        try {
          read()
        } catch (error) {
          expect(error).toBeInstanceOf(ScimError)
          expect(error).toMatchObject({ status: 400, scimType: expect.stringMatching(/^invalid(Filter|Path)$/) })
        }
      }
    }),
    { numRuns: 2_000, interruptAfterTimeLimit: 30_000, markInterruptAsFailure: true },
  )
})

const leaf: fc.Arbitrary<Filter> = fc.record({
  op: fc.constantFrom('eq' as const, 'ne' as const, 'co' as const),
  path: fc.constantFrom('userName', 'title', 'emails.value', 'name.givenName', 'externalId'),
  value: fc.string({ maxLength: 12 }),
})
const { filter: anyFilter } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'filter' },
    leaf,
    fc.record({ op: fc.constant('not' as const), filter: tie('filter') }),
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), filters: fc.array(tie('filter'), { minLength: 2, maxLength: 3 }) }),
  ),
}))

function written(filter: Filter): string {
  if ('filters' in filter) return `(${filter.filters.map(written).join(` ${filter.op} `)})`
  if (filter.op === 'not') return `not (${written(filter.filter)})`
  if (filter.op === 'pr' || filter.op === 'has') throw new Error('not made here')
  return `${filter.path} ${filter.op} ${JSON.stringify(filter.value)}`
}

test('what was written is what is read: every text, whatever it holds', () => {
  fc.assert(
    fc.property(anyFilter, (filter) => {
      expect(parseFilter(written(filter))).toEqual(filter)
    }),
  )
})

/** What an index would find, said in JavaScript. */
test('an index never leaves out what the filter wants', () => {
  const person = fc.record({
    userName: fc.constantFrom('a', 'B', 'c'),
    externalId: fc.constantFrom('a', 'b'),
    active: fc.boolean(),
    emails: fc.array(fc.record({ value: fc.constantFrom('a', 'B'), type: fc.constantFrom('work', 'home') }), { maxLength: 2 }),
  })
  const part = fc.constantFrom(
    'userName eq "b"',
    'externalId eq "a"',
    'active eq true',
    'emails eq "b"',
    'emails[type eq "work" and value eq "a"]',
    'not (userName eq "a")',
    'userName pr',
  )
  const text = fc.array(fc.tuple(part, fc.constantFrom(' and ', ' or ')), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(person, text, (resource, parts) => {
      const filter = bindFilter(USER, parseFilter(parts.map(([one, op], at) => (at === 0 ? one : op + one)).join('')))
      const plan = planOf(filter, (by) => by !== 'member')
      if (plan === null) return
      const isFound = plan.drivers.some(({ by, value }) => {
        if (by === 'userName') return resource.userName.toLowerCase() === value
        if (by === 'external') return resource.externalId === value
        if (by === 'active') return resource.active === value
        return by === 'email' && resource.emails.some((email) => email.value.toLowerCase() === value)
      })
      const isWanted = matches(filter, resource)
      expect(isFound || !isWanted).toBe(true)
      if (plan.exact) expect(isFound).toBe(isWanted)
    }),
    { numRuns: 1_000 },
  )
})

test('in a search over both types an attribute of the other type is merely absent', () => {
  expect(matches(bindFilter(GROUP, parseFilter('userName eq "x" or displayName eq "g"'), [USER]), { displayName: 'G' })).toBe(true)
  expect(() => bindFilter(GROUP, parseFilter('userName eq "x"'))).toThrow(ScimError)
})

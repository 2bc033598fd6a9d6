import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RekeyError } from '../kernel/index.ts'
import { countPolicies, schemaText } from './cedar.ts'
import { defaultFiles, holdersOf, holdsBoth, overlay, type PolicyFile, readPolicies } from './index.ts'
import { splitPolicies } from './set.ts'

function faultsOf(...files: PolicyFile[]): string[] {
  try {
    readPolicies(files)
    return []
  } catch (error) {
    if (!(error instanceof RekeyError) || error.code !== 'policy_invalid') throw error
    return (error.faults ?? []).map(({ path, line, message }) => `${path}:${line} ${message}`)
  }
}
const file = (text: string, name = 'rules.cedar') => ({ name, text })
const READS = 'permit (principal in Role::"r", action == Action::"status:read", resource);'

test('the default policies have no fault, and only the first token holds both hands', () => {
  const set = readPolicies(defaultFiles())
  const both = holdersOf(set.policies).filter(({ families }) => holdsBoth(families))
  expect(both.map(({ role }) => role)).toEqual(['bootstrap-admin'])
  expect(both[0]?.forced?.length).toBeGreaterThan(10)
})

test('every fault is told at once, with its file and line', () => {
  const faults = faultsOf(
    file(`// a comment\n\npermit (principal in Rol::"x",\n  action == Action::"rotation:sart",\n  resource);`, 'a.cedar'),
    file('permit (principal,\n  action,\n  resource)\nwhen { resource.environment == "test" };', 'b.cedar'),
  )
  expect(faults.find((fault) => fault.startsWith('a.cedar:3 '))).toContain('unrecognized entity type `Rol`')
  expect(faults.find((fault) => fault.startsWith('a.cedar:4 '))).toContain('unrecognized action')
  expect(faults.filter((fault) => fault.startsWith('b.cedar:4 ')).length).toBeGreaterThan(0)
})

test.each([
  ['permit (principal, action resource);', /^rules.cedar:1 unexpected token/],
  ['é;\npermit (principal, action, resource', /^rules.cedar:\d /],
  ['permit (principal == ?principal, action, resource);', /template/],
  [`${READS}\n${READS}`, /^rules.cedar:1 A file with several policies names each/],
  [`@id("a") ${READS}\n@id("a")\n${READS}`, /^rules.cedar:2 There are two policies with @id\("a"\)/],
  [`@id("__proto__") ${READS}`, /^rules.cedar:1 An @id has/],
  [`@id("A b") ${READS}`, /An @id has/],
  ['forbid (principal is Role, action, resource);', /./],
  ['permit (principal in Role::"r", action == Action::"kek:rotate", resource) when { resource.environment == "a" };', /environment/],
  ['permit (principal in Role::"r", action == Action::"status:read", resource is Credential);', /impossible|applicable/],
  ['permit (principal in Role::"раypal", action == Action::"status:read", resource);', /confusable|mixed|script/],
  ['permit (principal in Role::"a\u202eb", action == Action::"status:read", resource);', /./],
  ['permit (principal in Role::"r", action == Action::"status:read", resource);\u0000', /This is no text/],
  ['\ud800', /This is no text/],
])('%j is refused', (text, wanted) => {
  const faults = faultsOf(file(text))
  expect(
    faults.some((fault) => wanted.test(fault)),
    faults.join('\n'),
  ).toBe(true)
})

test.each(['', 'a', 'A.cedar', '../a.cedar', 'a/b.cedar', '.cedar', '__proto__.cedar', 'a.cedar\n'])(
  'a file named %j is refused',
  (name) => {
    expect(faultsOf(file(READS, name)).join()).toContain('A file of policies is named')
  },
)

test('two files of one name, a set without policies and one that is too large are refused', () => {
  expect(faultsOf(file(READS), file(READS)).join()).toContain('two files of this name')
  expect(faultsOf().join()).toContain('There is no policy')
  expect(faultsOf(file('// nothing')).join()).toContain('There is no policy')
  expect(faultsOf(file(`//${'x'.repeat(600_000)}\n${READS}`)).join()).toContain('larger than 512 KiB')
})

const BOTH = 'action in [Action::"identity:suspend", Action::"rotation:start"]'

test.each([
  ['in one policy', `permit (principal in Role::"r", ${BOTH}, resource);`],
  [
    'in two policies',
    `@id("a") permit (principal in Role::"r", action in Action::"directory", resource);
    @id("b") permit (principal in Role::"r", action == Action::"rotation:start", resource);`,
  ],
  [
    'by kind and role',
    `@id("a") permit (principal is Person in Role::"r", action in Action::"identity:*", resource);
    @id("b") permit (principal in Role::"r", action in Action::"rotation:*", resource);`,
  ],
  [
    'through a policy for anybody',
    `@id("a") permit (principal, action in Action::"directory", resource);
    @id("b") permit (principal in Role::"r", action in Action::"credential", resource);`,
  ],
  ['for anybody', `permit (principal, ${BOTH}, resource) when { principal in Role::"r" };`],
  [
    'through what every person has',
    `@id("a") permit (principal in Role::"self", action in Action::"credential", resource) when { principal in Role::"r" };
    @id("b") permit (principal in Role::"r", action in Action::"directory", resource);`,
  ],
  [
    'by kind, through what every person has',
    `@id("a") permit (principal is Person in Role::"self", action == Action::"rotation:start", resource);
    @id("b") permit (principal in Team::"t", action == Action::"team:change", resource);`,
  ],
  [
    'through what every person and what anybody has',
    `@id("a") permit (principal in Role::"self", action == Action::"rotation:start", resource);
    @id("b") permit (principal, action == Action::"team:change", resource);`,
  ],
  ['in a team', `permit (principal in Team::"t", ${BOTH}, resource);`],
  ['in one person', `permit (principal == Person::"p", ${BOTH}, resource);`],
  ['by leaving out the action', 'permit (principal in Role::"r", action, resource) when { action in Action::"reads" };'],
  ['with a reason that is none', `@forced("because") permit (principal in Role::"r", ${BOTH}, resource);`],
  ['with a reason of blanks', `@forced("            ") permit (principal in Role::"r", ${BOTH}, resource);`],
])('both hands %s are refused', (_, text) => {
  expect(faultsOf(file(text)).some((fault) => /directory rights and credential rights|The reason in @forced/.test(fault))).toBe(true)
})

test('both hands are accepted with a reason, and reading both is no right over either', () => {
  expect(faultsOf(file(`@forced("we are two people") permit (principal in Role::"r", ${BOTH}, resource);`))).toEqual([])
  expect(faultsOf(file('permit (principal in Role::"r", action in Action::"reads", resource);'))).toEqual([])
  expect(faultsOf(file(`forbid (principal in Role::"r", ${BOTH}, resource);`))).toEqual([])
})

test('an own file takes the place of the default one of its name', () => {
  const files = overlay(defaultFiles(), [file('// nobody', 'operator.cedar'), file(READS)])
  expect(files.map(({ name }) => name)).toEqual([...defaultFiles().map(({ name }) => name), 'rules.cedar'].sort())
  expect(holdersOf(readPolicies(files).policies).some(({ role }) => role === 'operator')).toBe(false)
})

test('the schema declares each action once, with the groups that policies may name', () => {
  const text = schemaText()
  expect(text.match(/^action "rotation:start" .*$/gm)).toEqual([
    'action "rotation:start" in ["credential", "changes", "rotation:*"] appliesTo ' +
      '{ principal: [Person, Workload, Machine, Agent, Token], resource: [Installation, Credential] };',
  ])
})

const scrap = fc.constantFrom(
  'permit (principal, action, resource);',
  ';',
  '"',
  '\\"',
  '"a;b"',
  '// c;\n',
  '\n',
  ' ',
  '/',
  '"\\\\"',
  'é',
  '@id("x")',
)

test('property: a file falls into as many policies as Cedar counts, and its pieces lie where they say', () => {
  fc.assert(
    fc.property(fc.array(scrap, { maxLength: 12 }), (scraps) => {
      const text = scraps.join('')
      const pieces = splitPolicies(text)
      const count = countPolicies(text)
      if (count !== null) expect(pieces).toHaveLength(count)
      let from = 0
      for (const { text: piece, line } of pieces) {
        const at = text.indexOf(piece, from)
        expect(at).toBeGreaterThanOrEqual(from)
        expect(text.slice(0, at).split('\n').length).toBeLessThanOrEqual(line)
        from = at + piece.length
      }
    }),
  )
})

test('property: no text at all makes the reader fail otherwise than by its faults', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(scrap).map((scraps) => scraps.join('')),
      ),
      (text) => {
        faultsOf(file(text))
      },
    ),
    { numRuns: 60 },
  )
})

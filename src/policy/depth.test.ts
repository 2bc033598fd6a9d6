import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeCtx } from '../kernel/index.ts'
import { parsePolicy } from './cedar.ts'
import { LEVELS_MAX, NESTING_MAX, tooDeep } from './depth.ts'
import { defaultFiles, Policies, readPolicies } from './index.ts'
import { principal } from './testing.ts'

const around = (condition: string) => `permit (principal, action == Action::"status:read", resource) when { ${condition} };`
const range = (count: number) => Array.from({ length: count }, (_, n) => n)

/** Every way to go down that the grammar has, `n` levels of it around `core`. */
const WAYS: Readonly<Record<string, (n: number, core: string) => string>> = {
  parentheses: (n, core) => '('.repeat(n) + core + ')'.repeat(n),
  negations: (n, core) => '!('.repeat(n) + core + ')'.repeat(n),
  sets: (n, core) => `${'['.repeat(n)}${core}${']'.repeat(n)}.isEmpty()`,
  records: (n, core) => `${'{"a":'.repeat(n)}${core}${'}'.repeat(n)} has a`,
  calls: (n, core) => `${'[1].contains('.repeat(n)}${core}${')'.repeat(n)}`,
  branches: (n, core) => `${'if true then true else '.repeat(n)}${core}`,
  conditions: (n, core) => `${'if '.repeat(n)}${core}${' then true else true'.repeat(n)}`,
  alternatives: (n, core) => `${'true || '.repeat(n)}${core}`,
  conjunctions: (n, core) => `${'true && '.repeat(n)}${core}`,
  sums: (n, core) => `1 ${'+ 1 '.repeat(n)} == 1 && ${core}`,
  differences: (n, core) => `1 ${'- 1 '.repeat(n)} == 1 && ${core}`,
  products: (n, core) => `1 ${'* 1 '.repeat(n)} == 1 && ${core}`,
  accesses: (n, core) => `principal${'.identity'.repeat(n)} == "" && ${core}`,
  indexes: (n, core) => `principal${'["identity"]'.repeat(n)} == "" && ${core}`,
}

test.each(Object.entries(WAYS))('%s without end are refused, with their line, in a moment', (_what, way) => {
  const text = `\n// a ( comment\n${around(way(20_000, 'true'))}`
  const start = performance.now()
  expect(tooDeep(text)).toEqual({ line: 3, message: expect.stringMatching(/more than \d+/) })
  expect(performance.now() - start).toBeLessThan(2_000)
  expect(() => readPolicies([...defaultFiles(), { name: 'x.cedar', text }])).toThrow(expect.objectContaining({ code: 'policy_invalid' }))
})

const nested = fc.array(fc.tuple(fc.constantFrom(...Object.keys(WAYS)), fc.integer({ min: 1, max: 120 })), { minLength: 1, maxLength: 6 })

test('whatever passes is read or refused, and decided, without a trap: any mixture of ways down', () => {
  const defaults = defaultFiles()
  const ctx = makeCtx('test', 'test')
  let passed = 0
  fc.assert(
    fc.property(nested, (mixture) => {
      const text = around(mixture.reduce((core, [way, n]) => WAYS[way]?.(n, `(${core})`) ?? core, 'true'))
      fc.pre(tooDeep(text) === null)
      passed++
      try {
        const policies = new Policies(readPolicies([...defaults, { name: 'x.cedar', text }]))
        policies.explain(ctx, principal(), 'status:read')
      } catch (error) {
        expect(error).toMatchObject({ code: 'policy_invalid' })
      }
    }),
    {
      numRuns: 60,
      examples: [[[['parentheses', NESTING_MAX - 3]]], [[['branches', LEVELS_MAX - 1]]], [[['conjunctions', LEVELS_MAX - 2]]]],
    },
  )
  expect(passed).toBeGreaterThan(20)
}, 240_000)

/** How deep the syntax tree goes by its operators: sets and records count once, as brackets do. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const inner = Math.max(0, ...Object.values(value).map(depthOf))
  return Object.keys(value).some((key) => /^(?:&&|\|\||[-+*!.<>]|[=<>!]=|if-then-else|Set|Record|is|in|has|like)$/.test(key))
    ? inner + 1
    : inner
}

test('no syntax tree that passes is deeper than the bound', () => {
  fc.assert(
    fc.property(nested, (mixture) => {
      const text = around(mixture.reduce((core, [way, n]) => WAYS[way]?.(n % 40, `(${core})`) ?? core, 'true'))
      fc.pre(tooDeep(text) === null)
      const parsed = parsePolicy('x', text)
      if ('json' in parsed) expect(depthOf(parsed.json.conditions)).toBeLessThanOrEqual(LEVELS_MAX)
    }),
    { numRuns: 200 },
  )
})

test('what people write passes: the default policies, long lists, many alternatives side by side, many policies in a file', () => {
  for (const { text } of defaultFiles()) expect(tooDeep(text)).toBeNull()
  const names = range(3_000).map((n) => `Action::"a-${n}"`)
  expect(tooDeep(`permit (principal, action in [${names.join(', ')}], resource);`)).toBeNull()
  const systems = range(150).map((n) => `(resource has system && resource.system == "db-${n}")`)
  expect(tooDeep(around(systems.join(' || ')))).toBeNull()
  expect(
    tooDeep(
      range(5_000)
        .map((n) => `@id("p${n}") ${around('principal.aal >= 2 && !(1 == 2)')}`)
        .join('\n'),
    ),
  ).toBeNull()
  expect(tooDeep(around(`principal.id like "${'('.repeat(9_999)}"`))).toBeNull()
  expect(tooDeep(`// ${'('.repeat(9_999)}\n${around('true')}`)).toBeNull()
})

test('any text at all is judged', () => {
  const pieces = fc.constantFrom(
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '"',
    '\\',
    '//',
    '\n',
    ',',
    ';',
    '&&',
    '||',
    'if',
    'then',
    'else',
    '.',
    '-',
    'x',
    '\ud800',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(pieces, { maxLength: 400 }).map((all) => all.join('')),
      ),
      (text) => {
        const found = tooDeep(text)
        if (found !== null) expect(found.line).toBeLessThanOrEqual(text.split('\n').length)
      },
    ),
    { numRuns: 500 },
  )
})

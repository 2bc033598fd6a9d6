import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countPolicies, parsePolicy } from './cedar.ts'
import { LEVELS_MAX, tooDeep, treeTooDeep } from './depth.ts'
import { oddLetter } from './letters.ts'
import { overlay, readPolicies, splitPolicies, textFaults } from './set.ts'

const READS = 'permit (principal in Role::"b", action == Action::"status:read", resource);'
const reads = (text: string) => 'json' in parsePolicy('x', text)
/** Every letter of one unit that is white space, a control or a format character somewhere, and some that are not. */
const LETTERS = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).filter((letter) =>
  /[\s\p{C}\p{Z}]/u.test(letter) && letter.isWellFormed() ? !/[\p{Co}\p{Cn}]/u.test(letter) : letter === 'x',
)

test('Cedar ends a comment where our reading ends it, asked letter by letter; whatever else it takes for white space ends none', () => {
  const ends = LETTERS.filter((letter) => !reads(`${READS} // a${letter}b`))
  expect(ends).toEqual(['\n', '\r'])
  const spaces = LETTERS.filter((letter) => reads(READS.replace('(', `(${letter}`)))
  expect(spaces).toEqual(LETTERS.filter((letter) => /\p{White_Space}/u.test(letter)))
  expect(LETTERS.length).toBeGreaterThan(100)
})

test.each([
  ['a carriage return without a line feed (U+000D)', '\r'],
  ['a carriage return without a line feed (U+000D)', '\r\r\n'],
  ['a vertical tab (U+000B)', '\v'],
  ['a form feed (U+000C)', '\f'],
  ['a next line (U+0085)', '\u0085'],
  ['a line separator (U+2028)', '\u2028'],
  ['a paragraph separator (U+2029)', '\u2029'],
  ['a control character (U+001C)', '\x1c'],
  ['a control character (U+001B)', '\x1b'],
  ['a control character (U+007F)', '\x7f'],
])('%s is refused by its name and line: in comments, between policies and in strings', (name, letter) => {
  const says = `There is ${name} here: a line ends with a line feed.`
  for (const text of [`${READS}\n// a${letter}b`, `\n${letter}${READS}`, `\n@id("a${letter}b") ${READS}`]) {
    expect(textFaults([{ name: 'own.cedar', text }])).toEqual([{ path: 'own.cedar', line: 2, message: says }])
    expect(() => readPolicies([{ name: 'own.cedar', text }])).toThrow(expect.objectContaining({ code: 'policy_invalid' }))
  }
})

test.each(['\u202e', '\u2066', '\u200f', '\u061c', '\ufeff'])('%j is refused by its name and line outside of strings', (letter) => {
  for (const text of [`${READS}\n// "a${letter}b`, `\n${letter}${READS}`, `"\n" ${letter} "b"`]) {
    expect(oddLetter(text)).toEqual({ line: 2, message: expect.stringMatching(/^There is a .* here: it stands in strings only\.$/) })
  }
  expect(oddLetter(`@id("a${letter}b\\"${letter}") // c`)).toBeNull()
})

test('a set that an older version put in force is read as Cedar reads it, and is in force; as a proposal it is refused', () => {
  const text = `@id("a") ${READS} // a\r@id("b") forbid (principal, action == Action::"status:read", resource);`
  expect(readPolicies([{ name: 'own.cedar', text }], true).policies.map(({ id }) => id)).toEqual(['own/a', 'own/b'])
  expect(() => readPolicies([{ name: 'own.cedar', text }])).toThrow(expect.objectContaining({ code: 'policy_invalid' }))
  const deep = READS.replace(';', `// a\r when { ${'!('.repeat(200)}true${')'.repeat(200)} };`)
  expect(() => readPolicies([{ name: 'own.cedar', text: deep }], true)).toThrow(expect.objectContaining({ code: 'policy_invalid' }))
})

test('what an editor of another system writes is the same set: pairs of carriage return and line feed become line feeds', () => {
  const text = `// a\r\n\r\n${READS}\r\n`
  expect(oddLetter(text)).toBeNull()
  expect(overlay([], [{ name: 'own.cedar', text }])).toEqual([{ name: 'own.cedar', text: `// a\n\n${READS}\n` }])
  expect(readPolicies([{ name: 'own.cedar', text }]).policies).toMatchObject([{ id: 'own', line: 3 }])
  expect(oddLetter(`// a\tb äöü 日本 👩‍👩‍👧\u00a0\n${READS}`)).toBeNull()
})

/** What a reader may take for a comment, a string, an end of a line or nothing. */
const odd = fc.constantFrom(
  ...['\r', '\n', '\r\n', '\v', '\f', '\u0085', '\u2028', '\u00a0', '\u3000', '\ufeff', ' ', '// a', '// "', '// ;', '// (', '// \\'],
  ...['"', '/', '\\', ';', '\t'],
)
const gap = fc.array(odd, { maxLength: 4 }).map((all) => ` ${all.join('')}`)

test('property: whatever stands between policies, they are told apart as Cedar tells them apart', () => {
  let several = 0
  fc.assert(
    fc.property(fc.array(gap, { minLength: 2, maxLength: 5 }), (gaps) => {
      const text = gaps.join(READS)
      const count = countPolicies(text)
      if (count === null) return
      if (count > 1) several++
      expect(splitPolicies(text)).toHaveLength(count)
    }),
    { numRuns: 3_000, examples: [[[' // a\r', ' // b']], [[' // "\r', ' // "\r', '']]] },
  )
  expect(several).toBeGreaterThan(50)
})

/** Ways down without brackets, and with them. */
const WAYS: Readonly<Record<string, (n: number, core: string) => string>> = {
  branches: (n, core) => `${'if true then true else '.repeat(n)}${core}`,
  conditions: (n, core) => `${'if '.repeat(n)}${core}${' then true else true'.repeat(n)}`,
  conjunctions: (n, core) => `${'true && '.repeat(n)}${core}`,
  alternatives: (n, core) => `${'true || '.repeat(n)}${core}`,
  sums: (n, core) => `1 ${'+ 1 '.repeat(n)} == 1 && ${core}`,
  accesses: (n, core) => `principal${'.identity'.repeat(n)} == "" && ${core}`,
  members: (n, core) => `principal has a${'.a'.repeat(n)} && ${core}`,
  sets: (n, core) => `${'['.repeat(n)}${core}${']'.repeat(n)}.isEmpty()`,
  records: (n, core) => `${'{"Value":'.repeat(n)}${core}${'}'.repeat(n)} has Value`,
}
/** What may stand between any two words, for Cedar. */
const between = fc
  .array(fc.constantFrom('\r', '\n', '\v', ' ', '\u2028', '// a\r', '// "\n', '// (\r', '// ;\r\n', '// }\r', '// if\n'), { maxLength: 3 })
  .map((all) => ` ${all.join('')} `)
const way = fc.tuple(fc.constantFrom(...Object.keys(WAYS)), fc.integer({ min: 1, max: 149 }), between, between)
const NESTED = /^(?:sets|records)$/

test('property: whatever our reading lets pass does not go deeper in the syntax tree that Cedar makes of it', () => {
  let passed = 0
  let stopped = 0
  fc.assert(
    fc.property(fc.array(way, { minLength: 1, maxLength: 3 }), between, (mixture, before) => {
      const condition = mixture.reduce((core, [name, n, left, right]) => {
        const levels = NESTED.test(name) ? n % 8 : n
        return `${left}${WAYS[name]?.(levels, `(${core})`) ?? core}${right}`
      }, 'true')
      const text = `permit (principal, action, resource)${before} when { ${condition} };`
      const parsed = parsePolicy('x', text)
      if (!('json' in parsed)) return
      const deep = treeTooDeep(parsed.json.conditions)
      if (tooDeep(text) === null) {
        passed++
        expect(deep).toBeNull()
      } else if (deep !== null) stopped++
    }),
    { numRuns: 500, examples: [[[['branches', 158, '', '']], ' // a\r']] },
  )
  expect([passed > 50, stopped > 20]).toEqual([true, true])
}, 120_000)

test('the syntax tree is measured by itself: what a reading of the text had missed is found there', () => {
  const tree = (text: string) => {
    const parsed = parsePolicy('x', text)
    if (!('json' in parsed)) throw new Error(parsed.message)
    return treeTooDeep(parsed.json.conditions)
  }
  const about = (condition: string) => `permit (principal, action, resource) when { ${condition} };`
  for (const name of ['branches', 'conditions', 'conjunctions', 'alternatives', 'sums', 'accesses']) {
    expect([name, tree(about(WAYS[name]?.(LEVELS_MAX + 5, 'true') ?? ''))]).toEqual([name, expect.stringContaining('more than 160')])
    expect([name, tree(about(WAYS[name]?.(LEVELS_MAX - 5, 'true') ?? ''))]).toEqual([name, null])
  }
  expect(tree(`permit (principal, action, resource) ${'when { true } '.repeat(LEVELS_MAX + 5)};`)).toContain('more than 160')
})

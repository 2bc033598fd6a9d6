import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode, type RekeyError, Secret } from '../kernel/index.ts'
import { entriesOf, withKey } from './files.env.ts'
import { checkFile, placeFile, prepareFile } from './files.ts'

const set = (text: string, key = 'PW', value = 'new') => withKey(text, key, value, '/x.env')

test.each([
  ['', 'PW=new\n'],
  ['A=1', 'A=1\nPW=new\n'],
  ['PW=old', 'PW=new'],
  ['# PW=no\nexport PW=old\nB=2\n', '# PW=no\nexport PW=new\nB=2\n'],
  ['  PW = old # why\nB=2\n', '  PW=new\nB=2\n'],
  ['PW=\nB=2\n', 'PW=new\nB=2\n'],
  ['PW=old\r\nB=2\r\n', 'PW=new\r\nB=2\r\n'],
  ['\u00ef\u00bb\u00bfPW=old\n', '\u00ef\u00bb\u00bfPW=new\n'],
  ['PW_OLD=1\nXPW=2\n', 'PW_OLD=1\nXPW=2\nPW=new\n'],
  // The line inside another key's value is no line of the file.
  ['PW=old\nDOC="as in\nPW=example\n"\n', 'PW=new\nDOC="as in\nPW=example\n"\n'],
  ["DOC='as in\nPW=example\n'\nPW=old\n", "DOC='as in\nPW=example\n'\nPW=new\n"],
  ['DOC="a \\" b\nPW=example\n" # and "so"\nPW=old\n', 'DOC="a \\" b\nPW=example\n" # and "so"\nPW=new\n'],
  ['DOC="as in\r\nPW=example"\r\nPW=old\r\n', 'DOC="as in\r\nPW=example"\r\nPW=new\r\n'],
  ['DOC="as in\nPW=example"\n', 'DOC="as in\nPW=example"\nPW=new\n'],
  // A value of several lines goes as a whole.
  ['PW="old\nsecond\nthird" # x\nB=2\n', 'PW=new\nB=2\n'],
  ["export PW='old\nsecond'\nB=2\n", 'export PW=new\nB=2\n'],
  ['PW="old\\\\"\nB="2"\n', 'PW=new\nB="2"\n'],
  // A quote inside a line that is never closed means nothing to any reader that could read the file.
  ["NAME=O'Brien\nPW=old\n", "NAME=O'Brien\nPW=new\n"],
  ['J={"a":"b"}\nPW=old\n', 'J={"a":"b"}\nPW=new\n'],
  ['set -a\nPW=old # it\'s "that\nB="2"\n', 'set -a\nPW=new\nB="2"\n'],
])('in %j the key is set', (text, expected) => expect(set(text)).toBe(expected))

test.each([
  ['PW=1\nB=2\nPW=old\n', 'PW is set a second time', 3],
  ['export PW=1\nPW="2"\n', 'a second time', 2],
  ['A=1\nPW="old\nB=2\n', 'a quote is not closed', 2],
  ["DOC='open\nPW=old\n", 'a quote is not closed', 1],
  ['DOC="open\\"\nPW=old\n', 'a quote is not closed', 1],
  ["DOC='C:\\dir\\'\nPW=old\nB='x'\n", 'backslash', 1],
  ['DOC="a" b "c\nPW=old\n"\n', 'something follows a closing quote', 1],
  ['DOC="a\nb"c\nPW=old\n', 'something follows a closing quote', 1],
  ["NAME=O'Brien\nPW=old\nOTHER=O'Hara\n", 'not closed on its line', 1],
  ['DOC=`a\nPW=old\n`\n', 'not closed on its line', 1],
  ['DOC=a\\\nPW=old\n', 'ends with a backslash', 1],
  ['PW: old\n', 'followed by a colon', 1],
  ['A=1\rPW=old\n', 'carriage return', 1],
])('%j is refused', (text, why, line) => {
  let error: unknown
  try {
    set(text)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ code: 'conflict', message: expect.stringContaining(why) })
  expect((error as RekeyError).message).toContain(`(line ${line})`)
  expect((error as RekeyError).message).not.toMatch(/old|Brien|open/)
})

/** Any text of the characters that matter, most of it nonsense. */
const anything = fc.string({ unit: fc.constantFrom('a', '=', '\n', '\r\n', ' ', 'PW', 'export ', '"', "'", '\\', '#', '`', ':', 'PW=1\n') })
const secretText = fc.string({ minLength: 1, unit: 'grapheme-ascii' })

function attempt(text: string, value: string): string | null {
  try {
    return set(text, 'PW', value)
  } catch (error) {
    if (!isCode(error, 'conflict')) throw error
    return null
  }
}

test('any text is refused, or gets the key exactly once with everything else as it was; and setting it twice changes nothing', () => {
  let done = 0
  fc.assert(
    fc.property(anything, secretText, (text, value) => {
      const once = attempt(text, value)
      if (once === null) return
      done++
      expect(set(once, 'PW', value)).toBe(once)
      const own = entriesOf(once, 'PW', '').filter(({ key }) => key === 'PW')
      expect(own).toHaveLength(1)
      const others = (of: string) => entriesOf(of, 'PW', '').flatMap(({ key, from, to }) => (key === 'PW' ? [] : [of.slice(from, to)]))
      expect(others(once)).toEqual(others(text))
      const was = entriesOf(text, 'PW', '').find(({ key }) => key === 'PW')
      const [entry] = own
      if (was && entry) {
        expect(once.slice(0, entry.from)).toBe(text.slice(0, was.from))
        expect(once.slice(entry.to)).toBe(text.slice(was.to))
      } else expect(once.startsWith(text)).toBe(true)
    }),
    { numRuns: 2000 },
  )
  expect(done).toBeGreaterThan(200)
})

/** What may stand between an assignment and the next, and be inside a quoted value without ending it. */
const inner = fc
  .array(fc.constantFrom('x', ' ', '\n', 'PW=example', '\nPW=example\n', 'export PW=1', '#', '='), { maxLength: 8 })
  .map((all) => all.join(''))
const item = fc.oneof(
  inner.map((text) => `DOC="${text}"`),
  inner.map((text) => `DOC='${text}'`),
  inner.map((text) => `DOC="\\"${text}"  # PW=x`),
  fc.constantFrom('# PW=x', '', 'A=1', 'set -a', 'B = two words'),
)
const target = fc.oneof(
  fc.constantFrom('PW=old', 'PW=', 'PW = old # x'),
  inner.map((text) => `PW="${text}"`),
  inner.map((text) => `PW='${text}'`),
)

test('in a file of values with quotes, of several lines too, the one assignment of the key is replaced whole and nothing else', () => {
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 6 }),
      target,
      fc.array(item, { maxLength: 6 }),
      fc.constantFrom('', 'export ', '  '),
      (a, own, b, prefix) => {
        const file = (middle: string) => [...a, prefix + middle, ...b, ''].join('\n')
        expect(set(file(own))).toBe(file('PW=new'))
      },
    ),
  )
})

test('a file in which the place is not certain stays as it is, and that is seen without writing and before writing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-env-'))
  const path = join(folder, 'app.env')
  const secret = Secret.fromText('new')
  for (const [text, key, account] of [
    ['PW="open\n', 'PW', null],
    ['PW=1\nPW_ACCOUNT=a\nPW_ACCOUNT=b\n', 'PW', 'c'],
  ] as const) {
    writeFileSync(path, text)
    for (const use of [checkFile, prepareFile, placeFile]) {
      await expect(use({ path, key, account }, secret), use.name).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(path),
      })
    }
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(readdirSync(folder)).toEqual(['app.env'])
  }
  writeFileSync(path, 'PW=old\n')
  await checkFile({ path, key: 'PW' }, secret)
  await checkFile({ path: join(folder, 'none/app.env'), key: 'PW' }, secret)
  expect(readFileSync(path, 'utf8')).toBe('PW=old\n')
  rmSync(folder, { recursive: true })
})

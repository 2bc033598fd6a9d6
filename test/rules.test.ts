/** The rules recognise what they are for: each is tried on text that breaks it and on text that only looks so. */
import type { Node } from 'typescript/unstable/ast'
import { expect, test } from 'vitest'
import { readsEnvironment, readsTime, touchesCrypto } from './forbidden.ts'
import { functionsOf, undocumentedExports } from './functions.ts'
import { imagined, importsOf, type Source, visit } from './source.ts'

function only(text: string): Source {
  const [source] = imagined({ 'src/x/a.ts': text })
  if (!source) throw new Error('nothing was parsed')
  return source
}

function holdsAnywhere(text: string, judge: (node: Node) => boolean): boolean {
  let found = false
  visit(only(text).tree, (node) => {
    found ||= judge(node)
  })
  return found
}

test.each([
  ['const a = process.env.HOME', true],
  ["const a = process['env']", true],
  ['const a = process?.env', true],
  ['const { argv, env } = process', true],
  ["import { env } from 'node:process'", true],
  ['const a = process.argv', false],
  ["const a = 'process.env' // process.env", false],
  ['const a = ctx.env', false],
])('%s reads the environment: %s', (text, expected) => {
  expect(holdsAnywhere(text, readsEnvironment)).toBe(expected)
})

test.each([
  ['Date.now()', true],
  ['new Date()', true],
  ['new Date', true],
  ['Date()', true],
  ['performance.now()', true],
  ['const a = performance.timeOrigin', true],
  ['process.hrtime.bigint()', true],
  ['new Date(row.at)', false],
  ['const a = ctx.clock.now()', false],
  ["const a = 'Date.now()' // new Date()", false],
])('%s reads the time: %s', (text, expected) => {
  expect(holdsAnywhere(text, readsTime)).toBe(expected)
})

test.each([
  ["import { createHash } from 'node:crypto'", true],
  ["const c = await import('crypto')", true],
  ['crypto.subtle.digest(a, b)', true],
  ['crypto.getRandomValues(new Uint8Array(1))', false],
])('%s touches cryptography: %s', (text, expected) => {
  expect(touchesCrypto(only(text))).toBe(expected)
})

test('every way to import is seen, and what it leaves at run time', () => {
  const source = only(`import a from './a.ts'
import type { B } from '../y/b.ts'
import { type C } from './c.ts'
import './d.ts'
export * from './e.ts'
export type { F } from './f.ts'
const g = () => import('./g.ts')
type H = import('./h.ts').H
const i = () => import(name)
// import './comment.ts'
const j = "import './string.ts'"
import k from 'k'
`)
  expect(importsOf(source).map(({ specifier, path, how, line }) => [specifier, path, how, line])).toEqual([
    ['./a.ts', 'src/x/a.ts', 'static', 1],
    ['../y/b.ts', 'src/y/b.ts', 'type', 2],
    ['./c.ts', 'src/x/c.ts', 'static', 3],
    ['./d.ts', 'src/x/d.ts', 'static', 4],
    ['./e.ts', 'src/x/e.ts', 'static', 5],
    ['./f.ts', 'src/x/f.ts', 'type', 6],
    ['./g.ts', 'src/x/g.ts', 'dynamic', 7],
    ['./h.ts', 'src/x/h.ts', 'type', 8],
    ['', null, 'dynamic', 9],
    ['k', null, 'static', 12],
  ])
})

test('functions have names and lengths; chapters of tests are none', () => {
  const source = only(`/** Two
 * lines that do not count. */
function plain() {
  return [1].map((n) => n)
}
class C {
  constructor() {}
  method() {
    return 1
  }
}
const arrow = () => 1
describe('chapter', () => {
  test('one', () => {
  })
})
`)
  expect(functionsOf(source).map(({ name, lines }) => `${name} ${lines}`)).toEqual([
    'plain 3',
    'plain.inner 1',
    'constructor 1',
    'method 3',
    'arrow 1',
    'one 2',
  ])
})

test('exports of an index are looked up where they are defined', () => {
  const sources = imagined({
    'src/x/index.ts':
      "export { a, b as c, type D } from './a.ts'\nexport * from './e.ts'\nexport { gone } from './a.ts'\nexport const f = 1\n",
    'src/x/a.ts': '/** A. */\nexport const a = 1\nexport function b() {}\n/** D. */\nexport interface D {}\n',
    'src/x/e.ts': '/** E. */\nexport class E {}\nexport type G = 1\nconst hidden = 1\n',
  })
  expect(undocumentedExports(sources)).toEqual(['src/x/index.ts c', 'src/x/index.ts G', 'src/x/index.ts gone', 'src/x/index.ts f'])
})

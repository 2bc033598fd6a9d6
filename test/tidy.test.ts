/** Tidiness as tests (style habit 14). A limit may be broken only by what `tidy.exceptions.json` names, and that list may only shrink. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Node } from 'typescript/unstable/ast'
import { SyntaxKind } from 'typescript/unstable/ast'
import { afterAll, expect, test } from 'vitest'
import { functionsOf, undocumentedExports } from './functions.ts'
import { lineOf, ROOT, type Source, sources, textFiles, textOf, visit } from './source.ts'
import exceptions from './tidy.exceptions.json' with { type: 'json' }

const FILE_LINES = 500
const FILE_LINES_AIM = 300
const FUNCTION_LINES = 70
const LINE_CHARS = 140

/** Parts of names of the places where this was written; none belongs in a public repository. Joined here, so that this file passes. */
const PRIVATE_WORDS = ['/wor' + 'k/', 'shared/' + 'design', '/tmp/' + 'n24']

const all = sources()
const files = textFiles()
const written = files.filter((path) => path !== 'package-lock.json')

/**
 * Compares what breaks a limit with what is allowed to. Names neither listed nor within their listed ceiling, and listed ones that
 * need no exception any more, are faults.
 */
function ratchet(measured: ReadonlyMap<string, number>, limit: number, listed: Readonly<Record<string, number>>): string[] {
  const over = [...measured].filter(([name, lines]) => lines > (listed[name] ?? limit)).map(([name, lines]) => `${name} has ${lines} lines`)
  const stale = Object.keys(listed).filter((name) => (measured.get(name) ?? 0) <= limit)
  return [...over, ...stale.map((name) => `${name} needs no exception any more: remove it from test/tidy.exceptions.json`)]
}

function linesOf(text: string): number {
  return text.split('\n').length - 1
}

/** Share of comment lines per area, percent, for information: style aims at 15 to 25. */
function commentShares(): string {
  const areas = Map.groupBy(
    all.filter(({ path }) => path.startsWith('src/') && !path.endsWith('.test.ts')),
    ({ path }) => path.split('/')[1] ?? '',
  )
  const shares = [...areas].map(([area, members]) => {
    const written = members.flatMap(({ text }) => text.split('\n')).filter((line) => line.trim() !== '')
    const comments = written.filter((line) => /^\s*(\/\/|\/\*|\*)/.test(line))
    return `${area} ${Math.round((100 * comments.length) / written.length)}`
  })
  return shares.join(', ')
}

afterAll(() => {
  const long = all.filter(({ path, text }) => path.startsWith('src/') && linesOf(text) > FILE_LINES_AIM)
  console.info(`comment lines, percent: ${commentShares()}`)
  console.info(`files of more than ${FILE_LINES_AIM} lines: ${long.map(({ path }) => path).join(', ') || 'none'}`)
})

test('files have at most 500 lines', () => {
  const measured = new Map(all.map((source) => [source.path, linesOf(source.text)]))
  expect(ratchet(measured, FILE_LINES, exceptions.fileLines)).toEqual([])
})

test('functions have at most 70 lines', () => {
  const measured = new Map<string, number>()
  for (const source of all) for (const one of functionsOf(source)) measured.set(`${source.path}#${one.name}`, one.lines)
  expect(measured.size).toBeGreaterThan(50)
  expect(ratchet(measured, FUNCTION_LINES, exceptions.functionLines)).toEqual([])
})

test('the ratchet turns one way', () => {
  const measured = new Map([
    ['long', 90],
    ['short', 10],
  ])
  expect(ratchet(measured, 70, {})).toEqual(['long has 90 lines'])
  expect(ratchet(measured, 70, { long: 90 })).toEqual([])
  expect(ratchet(measured, 70, { long: 80 })).toEqual(['long has 90 lines'])
  expect(ratchet(measured, 70, { long: 90, short: 80, gone: 80 })).toHaveLength(2)
})

/** `path:line` of every node that `isBad`. */
function nodes(isBad: (node: Node, source: Source) => boolean): string[] {
  const found: string[] = []
  for (const source of all) visit(source.tree, (node) => void (isBad(node, source) && found.push(`${source.path}:${lineOf(source, node)}`)))
  return found
}

test('no any, no non-null assertion', () => {
  expect(nodes((node) => node.kind === SyntaxKind.AnyKeyword || node.kind === SyntaxKind.NonNullExpression)).toEqual([])
})

test('no test is skipped or run alone by its text', () => {
  const chosen = /\b(test|it|describe|suite)(\.\w+)*\.(only|skip|todo|fails)$/
  const bad = nodes((node, source) => node.kind === SyntaxKind.PropertyAccessExpression && chosen.test(node.getText(source.tree)))
  expect(bad, 'name a missing system with skipIf, and say why').toEqual([])
})

/** `path:line` of every line of the files that `pattern` matches. */
function lines(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    textOf(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  )
}

const code = written.filter((path) => /\.(ts|tsx|js|mjs|sql|sh|json)$|^bin\//.test(path))

test('nothing is silenced or left for later', () => {
  const silenced = new RegExp(`@ts-(ignore|expect-error|nocheck)|\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`)
  const here = code.filter((path) => path !== 'test/tidy.test.ts')
  expect(lines(here, silenced)).toEqual([])
})

test('lines have at most 140 characters and end in no blanks', () => {
  const prose = /\.(md|json|svg)$|^LICENSE$|^test\/vectors\//
  const long = new RegExp(`^.{${LINE_CHARS + 1}}`, 'u')
  expect(
    lines(
      written.filter((path) => !prose.test(path)),
      long,
    ),
  ).toEqual([])
  expect(
    lines(
      written.filter((path) => !path.startsWith('test/vectors/')),
      /[ \t\r]$/,
    ),
  ).toEqual([])
})

test('text files end with one line break', () => {
  const bad = written.filter((path) => !path.startsWith('test/vectors/')).filter((path) => !/(^|[^\n])\n$/.test(textOf(path)))
  expect(bad).toEqual([])
})

test('no file names the place where it was written', () => {
  const bad = files.filter((path) => PRIVATE_WORDS.some((word) => textOf(path).includes(word)))
  expect(bad).toEqual([])
})

test("every export of an area's index.ts is documented where it is defined", () => {
  expect(undocumentedExports(all)).toEqual([])
})

test('dependencies are exact, and each has its reason on record', () => {
  const manifest: Record<string, Record<string, string>> = JSON.parse(textOf('package.json'))
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }
  expect(Object.entries(wanted).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([])
  const reasons = ['ARCHITECTURE.md', ...files.filter((path) => path.startsWith('docs/decisions/'))]
    .filter((path) => existsSync(join(ROOT, path)))
    .map(textOf)
    .join('\n')
  expect(Object.keys(wanted).filter((name) => !isNamed(name, reasons))).toEqual([])
})

/** Whether a text names a package in backquotes: by itself, with something after it (`pg 8`), or by its family (`@scope/*`). */
function isNamed(name: string, text: string): boolean {
  const own = name.replace(/-linux-(x64|arm64)$/, '').replace(/\/linux-(x64|arm64)$/, '')
  const names = [
    name,
    own,
    name.replace(/^@[^/]+\//, ''),
    `${own}-*`,
    `${own}/*`,
    `${name.split('/')[0]}/*`,
    `${own}-linux-*`,
    `${own}-linux-x64`,
  ]
  return names.some((one) => text.includes(`\`${one}\``) || text.includes(`\`${one} `))
}

test('the lock file is there and names no host', () => {
  type Entry = { resolved?: string; integrity?: string; optional?: boolean; dev?: boolean }
  const lock: { packages: Record<string, Entry> } = JSON.parse(textOf('package-lock.json'))
  const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
  expect(installed.length).toBeGreaterThan(50)
  expect(installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([])
  // Development tools for platforms that their registry entry names and that nobody here could fetch; npm ci wants them listed.
  const foreign = (entry: Entry) => entry.optional === true && entry.dev === true
  expect(installed.filter(([, entry]) => !entry.integrity && !foreign(entry)).map(([path]) => path)).toEqual([])
})

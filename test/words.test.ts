/** Every event that the code can write has words in the report: an auditor should never have to read `rotation.retried`. */
import { expect, test } from 'vitest'
import { ITEM_STATES } from '../src/credential/closure.model.ts'
import { STATES } from '../src/credential/rotation.model.ts'
import { faultOfEvent } from '../src/evidence/event.ts'
import { WORDED, wordsOf } from '../src/evidence/report.words.ts'
import { textFiles, textOf } from './source.ts'

/** What stands before the dot of dotted texts that are no event types: fields of files and of SCIM, columns in SQL, and files. */
const OTHERS = /^(address|admin|emails|file|limits|members|package|rekey|tsconfig|[a-z])\.|^root\.(account|secret)\b/
const LITERAL = /'([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)'/g
/** A type put together at run time. Whoever writes another one adds here what it can become. */
const TEMPLATE = /(?:\btype\b(?::| =)|\bnote\()\s*`([^`]*\$\{[^`]*)`/g
const BECOMES = new Map<string, readonly string[]>([
  [`logins.\${to}`, ITEM_STATES.map((state) => `logins.${state}`)],
  [`rotation.\${to}`, STATES.map((state) => `rotation.${state}`)],
  [
    `\${noun}.\${change.kind === 'add' ? 'added' : 'changed'}`,
    ['credential', 'system'].flatMap((noun) => [`${noun}.added`, `${noun}.changed`]),
  ],
  [`\${noun}.removed`, ['credential.removed', 'system.removed']],
])

/** Who writes events: all of src but the log itself and what only reads it. */
const writers = textFiles('src').filter(
  (path) => /\.ts$/.test(path) && !/\.test\.ts$|^src\/(api|cli|connectors|evidence|store)\/|testing\.ts$/.test(path),
)
const written = writers.flatMap((path) => {
  const text = textOf(path)
  const literal = [...text.matchAll(LITERAL)].map(([, type = '']) => type).filter((type) => !OTHERS.test(type))
  const made = [...text.matchAll(TEMPLATE)].flatMap(([, template = '']) => BECOMES.get(template) ?? [`${path}: \`${template}\``])
  return [...literal, ...made]
})

test('every type of event that the code can write has words in the report', () => {
  expect([...new Set(written)].filter((type) => !WORDED.has(type))).toEqual([])
})

test('no words are left of a type that nobody writes any more', () => {
  expect([...WORDED].filter((type) => !written.includes(type))).toEqual([])
  for (const type of WORDED) {
    const body = { v: 1, log: 'credential', type, at: '2026-11-21T09:20:32.123Z', actor: 'a', subject: 's', links: {}, data: {} }
    expect(faultOfEvent(body)).toBeNull()
    expect(wordsOf(type)).toMatch(/^[A-Z][^_.]{5,}$/)
  }
})

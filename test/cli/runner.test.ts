import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runScript, Skipped } from './runner.ts'
import { parseScript } from './script.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-runner-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function run(text: string): Promise<string> {
  const work = mkdtempSync(join(folder, 'work-'))
  return runScript('t.txt', text, work, { PATH: process.env.PATH ?? '' }).then(
    () => 'held',
    (error: Error) => (error instanceof Skipped ? `skipped ${error.message}` : error.message),
  )
}

test.each([
  ['exec false', 't.txt:1: exec false\nended with 1'],
  ['exec true\n! exec true', 't.txt:2: ! exec true\nsucceeded, but must fail'],
  ['exec there-is-no-such-program', 'ENOENT'],
  ['! exec there-is-no-such-program', 'ENOENT'],
  ['exec true\nexit 1', 'the status is 0, not 1'],
  ['exec echo a\nstdout b', 'does not match\n[stdout]\na'],
  ['exec echo a\n! stdout a', 'matches, but must not'],
  ['stdout a', 'no program has run yet'],
  ['exec true\nstdout', 'a regular expression is missing'],
  ['cmp a b\n-- a --\nsame\none\n-- b --\nsame\ntwo\n', 'they differ at line 2'],
  ['! cmp a b\n-- a --\n-- b --\n', 'they are equal'],
  ['exists gone', 'gone is not there'],
  ['! exists a\n-- a --', 'a is there'],
  ['env NAME', 'NAME is not NAME=VALUE'],
  ['exec echo $MISSING', '$MISSING is not set'],
  ['stdin gone', 'ENOENT'],
  ['sleep 1', 'unknown command sleep'],
  ['! env A=b', 'env cannot be negated'],
  ['[moon] exec true', 'unknown condition moon'],
  ["exec echo 'open", 'line 1: a quote is not closed'],
  ['[root]', 'line 1: a command is missing'],
  ['exec true\n-- ../up --\n', 'outside $WORK'],
  ['exec true\n-- a --\n-- a --\n', 'is there twice'],
  ['start s ready true', 'ended with 0 before it was ready'],
  ['stop s', 's is not running'],
])('%j is refused', async (text, why) => {
  expect(await run(text)).toContain(why)
})

test('skip ends the script with its reason', async () => {
  expect(await run('[exec:sh] skip no reason\nexec false')).toBe('skipped no reason')
})

test('a server that the script forgot is ended', async () => {
  const script = "start s '(?<PID>\\d+)' sh -c 'echo $$; exec sleep 300'\nexec sh -c 'kill -0 $PID && echo $PID > ../pid'\n"
  expect(await run(script)).toBe('held')
  expect(await run("exec sh -c 'kill -0 $(cat ../pid) && echo alive'")).toMatch(/ended with 1/)
})

test('words, quotes and comments', () => {
  const { commands } = parseScript("# all\n\n  exec a'b c'd  'it''s' '' # rest\n[x] [!y] ! stdout #x\n")
  expect(commands.map(({ line, name, conditions, mustFail }) => ({ line, name, conditions, mustFail }))).toEqual([
    { line: 3, name: 'exec', conditions: [], mustFail: false },
    { line: 4, name: 'stdout', conditions: ['x', '!y'], mustFail: true },
  ])
  expect(commands[0]?.words.map((word) => word.map(({ text }) => text).join('|'))).toEqual(['a|b c|d', "it's", ''])
  expect(commands[1]?.words).toEqual([])
})

test('file sections keep their text exactly', () => {
  const { files } = parseScript('exec true\n-- a --\n\nx\n\n-- b/c --\n-- d --\nlast')
  expect([...files]).toEqual([
    ['a', '\nx\n\n'],
    ['b/c', ''],
    ['d', 'last\n'],
  ])
})

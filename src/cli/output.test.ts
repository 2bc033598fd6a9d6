import { expect, test } from 'vitest'
import type { RotationView } from '../credential/index.ts'
import { RekeyError } from '../kernel/index.ts'
import { EXIT, exitOf, Interrupted, NoServer } from './exit.ts'
import { errorLines, harmlessJson, tableLines } from './output.ts'
import { progressLines } from './progress.ts'
import { exitOfStates, finishedObject, rotationLines } from './views.ts'

const VIEW: RotationView = {
  rotation: 'r1',
  credential: 'api\u001b[2J',
  system: 's',
  state: 'blocked',
  blockedFrom: 'verified',
  oldVersion: null,
  newVersion: 2,
  createdAt: '2026-01-01T00:00:00.000Z',
  stagedAt: null,
  installedAt: '2026-01-01T00:00:01.000Z',
  verifiedAt: null,
  distributedAt: null,
  activatedAt: null,
  retiredAt: null,
  provedDeadAt: null,
  endedAt: null,
  blockedAt: '2026-01-01T00:00:02.000Z',
  gapMs: 12.6,
  tries: 3,
  reason: 'why\nnot',
  hint: 'do this',
  startedBy: 'admin',
  startReason: 'x',
}

test('a finished rotation has exactly the keys that are promised, in their order', () => {
  expect(Object.keys(finishedObject(VIEW))).toEqual([
    'rotation',
    'credential',
    'state',
    'oldVersion',
    'newVersion',
    'installedAt',
    'verifiedAt',
    'activatedAt',
    'retiredAt',
    'provedDeadAt',
    'gapMs',
    'reason',
  ])
})

test('a rotation in lines shows no raw control character', () => {
  expect(rotationLines(VIEW, false)).toEqual(['blocked  api\\u{1b}[2J  v- -> v2  gap 13 ms  r1', '    why\\u{a}not', '    do this'])
})

test.each<[RotationView['state'][], number]>([
  [[], EXIT.ok],
  [['proven_dead', 'proven_dead'], EXIT.ok],
  [['proven_dead', 'undone'], EXIT.undone],
  [['undone', 'irrevocable'], EXIT.notProven],
  [['not_provable', 'proven_dead'], EXIT.notProven],
  [['taken_over', 'undone'], EXIT.notProven],
  [['irrevocable', 'blocked', 'undone'], EXIT.blocked],
])('%j ends with %i', (states, status) => expect(exitOfStates(states)).toBe(status))

test.each<[unknown, number]>([
  [new RekeyError('bad_input', ''), EXIT.usage],
  [new RekeyError('fleet_invalid', ''), EXIT.usage],
  [new RekeyError('not_found', ''), EXIT.failed],
  [new RekeyError('unavailable', ''), EXIT.failed],
  [new NoServer('http://x', { lost: true }), EXIT.noServer],
  [new Interrupted(), EXIT.interrupted],
  [new Error('x'), EXIT.failed],
])('an error ends with its status (%#)', (error, status) => expect(exitOf(error)).toBe(status))

const FAULTY = new RekeyError('fleet_invalid', 'Two\u001b faults.', {
  hint: 'Mend them.',
  faults: [{ message: 'first', path: 'f.yaml', line: 3 }, { message: 'second' }],
})

test('errors for people name file and line', () => {
  expect(errorLines(FAULTY, false)).toEqual(['rekey: Two\\u{1b} faults.', '  f.yaml:3: first', '  second', 'hint: Mend them.'])
})

test('errors for programs are one object', () => {
  const [line, ...more] = errorLines(FAULTY, true)
  expect(more).toEqual([])
  expect(JSON.parse(line ?? '')).toEqual({ error: 'fleet_invalid', message: FAULTY.message, hint: FAULTY.hint, faults: FAULTY.faults })
})

test('of a foreign error only its kind and place are shown', () => {
  const [line] = errorLines(new SyntaxError('Unexpected token: hunter2'), false)
  expect(line).toMatch(/^rekey: Rekey failed: SyntaxError at .*output\.test\.ts/)
  expect(line).not.toContain('hunter2')
})

test('tables are aligned and end in no blanks', () => {
  const columns = [
    { head: 'NAME', of: ({ name }: { name: string; n: number | null }) => name },
    { head: 'N', of: ({ n }: { name: string; n: number | null }) => n, right: true },
    { head: 'X', of: () => '' },
  ]
  const rows = [
    { name: 'é\n', n: 100 },
    { name: 'b', n: null },
  ]
  expect(tableLines(rows, columns, false)).toEqual(['NAME      N  X', 'é\\u{a}  100', 'b         -'])
})

test('progress counts what has ended and fits the screen', () => {
  const counts = [
    { system: 'a', state: 'proven_dead', count: 3 },
    { system: 'a', state: 'installed', count: 1 },
    { system: 'long', state: 'blocked', count: 2 },
    { system: 'third', state: 'planned', count: 2 },
  ] as const
  expect(progressLines(counts, 8, 61_000, 20)).toEqual([
    'a       75%  installed 1, proven dead 3',
    'long   100%  blocked 2',
    'third    0%  planned 2',
    '5 of 8 finished, 62%, 1m 1s',
  ])
  expect(progressLines(counts, 8, 0, 4)).toHaveLength(4)
  expect(progressLines([], 0, 0, 4)).toEqual(['0 of 0 finished, 100%, 0s'])
})

test('JSON shows no character that hides or turns text, and reads back as it was', () => {
  const value = { reason: 'a\u202eb\u{e0001}c\u2028' }
  expect(harmlessJson(value)).toBe('{"reason":"a\\u202eb\\udb40\\udc01c\\u2028"}')
  expect(JSON.parse(harmlessJson(value))).toEqual(value)
})

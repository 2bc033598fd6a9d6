import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ENDS, MAX_REGENERATIONS, MAX_TRIES, NEXT, STATES, UNDOABLE } from './rotation.model.ts'

const DOCUMENT = readFileSync(new URL('../../docs/decisions/0005-rotation-states.md', import.meta.url), 'utf8')

/** The rows of the table under `heading`, as cells without their outer blanks; the two lines of the table's head are left out. */
function rowsUnder(heading: string): string[][] {
  const [, section = ''] = DOCUMENT.split(`\n## ${heading}\n`)
  const [body = ''] = section.split('\n## ')
  const rows = body.split('\n').filter((line) => line.startsWith('|'))
  return rows.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
}

/** The names in backquotes of a cell, in order. */
function names(cell: string): string[] {
  return [...cell.matchAll(/`([a-z_]+)`/g)].map((match) => match[1] ?? '')
}

const table = rowsUnder('The table')

test('the document draws NEXT as it is', () => {
  const drawn = Object.fromEntries(table.map(([state = '', , next = '']) => [names(state)[0], names(next)]))
  expect(drawn).toEqual(NEXT)
})

test('the document has every state once and calls exactly the ends ends', () => {
  expect(table.map(([state = '']) => names(state)[0]).sort()).toEqual([...STATES].sort())
  expect(table.filter(([, meaning]) => meaning?.startsWith('end: ')).flatMap(([state = '']) => names(state))).toEqual(ENDS)
})

test('the document tells of a crash in every state in which work is done', () => {
  const told = rowsUnder('What if').map(([step = '']) => names(step)[0])
  // `activated` only opens `retiring`: no call to a target, no file.
  const working = STATES.filter((state) => !ENDS.includes(state) && state !== 'blocked' && state !== 'activated')
  expect([...told].sort()).toEqual([...working].sort())
})

test('the figures of the document are those of the model', () => {
  const words = ['no', 'one', 'two', 'three', 'four']
  expect(MAX_TRIES).toBe(12)
  expect(DOCUMENT).toContain('Twelve with doubling pauses')
  expect(DOCUMENT).toContain(`at most ${words[MAX_REGENERATIONS]} times`)
  expect(UNDOABLE.every((state) => NEXT[state].includes('undoing') || state === 'planned')).toBe(true)
})

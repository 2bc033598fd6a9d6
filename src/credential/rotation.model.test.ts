import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  accountAfter,
  activationPauseMs,
  backoffMs,
  ENDS,
  isPath,
  MAX_TRIES,
  NEXT,
  STATES,
  type State,
  UNDOABLE,
} from './rotation.model.ts'

const ORDER: readonly State[] = [
  'planned',
  'staged',
  'installed',
  'verified',
  'distributed',
  'activated',
  'retiring',
  'retired',
  'proven_dead',
]

/** Any walk from `planned` along the table: each number chooses among what may follow. A blocked one may go on where it came from only. */
const walk = fc.array(fc.nat(), { maxLength: 60 }).map((choices) => {
  const path: State[] = ['planned']
  let blockedFrom: State = 'planned'
  for (const choice of choices) {
    const at = path.at(-1) ?? 'planned'
    // A closure may take it over anywhere, which ends it: the walks leave that out, or few would get far.
    const ways = (at === 'blocked' ? waysOut(blockedFrom) : NEXT[at]).filter((to) => to !== 'taken_over')
    if (ways.length === 0) break
    const to = ways[choice % ways.length] ?? at
    // An undo that came too late is blocked as what it was before (see UNDO_TOO_LATE); which of the two, the number says.
    if (to === 'blocked') blockedFrom = at === 'undoing' && choice % 4 >= 2 ? 'staged' : at
    path.push(to)
  }
  return path
})

/** What `retry`, `undo` and `resolve` allow (rotation.actions.ts). */
function waysOut(from: State): State[] {
  return NEXT.blocked.filter(
    (to) =>
      to === from ||
      (to === (from === 'planned' ? 'undone' : 'undoing') && UNDOABLE.includes(from)) ||
      (to === 'irrevocable' && ['retiring', 'retired'].includes(from)),
  )
}

test('no walk reaches proof of death without every step before it, in order', () => {
  fc.assert(
    fc.property(walk, (path) => {
      if (path.at(-1) !== 'proven_dead') return
      let next = 0
      for (const state of path) if (state === ORDER[next]) next++
      expect(next).toBe(ORDER.length)
    }),
    { numRuns: 20_000 },
  )
})

test('the old value is never retired in a rotation that is being undone, and an undo is never retired', () => {
  fc.assert(
    fc.property(walk, (path) => {
      const retiring = path.indexOf('retiring')
      const undoing = path.lastIndexOf('undoing')
      if (undoing < 0 || retiring < 0) return
      // Only where the undo could not be made and said so: it was blocked, went on from `staged`, and is one no more.
      expect(undoing).toBeLessThan(retiring)
      expect(path.slice(undoing + 1, undoing + 3)).toEqual(['blocked', 'staged'])
    }),
    { numRuns: 5_000 },
  )
})

test('every state can still reach an end, and an end is left by nothing', () => {
  for (const state of STATES) {
    const reached = new Set<State>([state])
    for (const one of reached) for (const to of NEXT[one]) reached.add(to)
    expect(
      [...reached].some((one) => ENDS.includes(one)),
      state,
    ).toBe(true)
  }
  expect([...ENDS].sort()).toEqual(['irrevocable', 'not_provable', 'proven_dead', 'taken_over', 'undone'])
  for (const state of STATES) expect(NEXT[state].includes('taken_over'), state).toBe(!ENDS.includes(state))
})

test('every state that works can be blocked, and what is blocked has a way on', () => {
  for (const state of STATES) {
    if (ENDS.includes(state) || state === 'blocked') continue
    expect(NEXT[state], state).toContain('blocked')
    expect(waysOut(state), state).toContain(state)
  }
})

test('a path is only what the table allows, one move after the other', () => {
  expect(isPath('staged', ['installed', 'verified', 'distributed', 'activated', 'retiring'])).toBe(true)
  expect(isPath('staged', ['verified'])).toBe(false)
  expect(isPath('installed', ['verified', 'proven_dead'])).toBe(false)
  for (const end of ENDS) for (const to of STATES) expect(isPath(end, [to])).toBe(false)
})

test('pauses grow, are bounded, and jitter takes at most half away', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (tries, jitter) => {
      const pause = backoffMs(tries, jitter)
      expect(pause).toBeGreaterThanOrEqual(backoffMs(tries, 0) / 2 - 1)
      expect(pause).toBeLessThanOrEqual(30_000)
      expect(backoffMs(tries + 1, 0)).toBeGreaterThanOrEqual(backoffMs(tries, 0))
    }),
  )
  const whole = Array.from({ length: MAX_TRIES - 1 }, (_, i) => backoffMs(i + 1, 0)).reduce((a, b) => a + b, 0)
  expect(whole / 1000).toBeGreaterThan(120)
  expect(activationPauseMs(0)).toBe(100)
  expect(activationPauseMs(1e9)).toBe(2_000)
})

test('an alternating pair takes turns; other strategies stay on their account', () => {
  expect(accountAfter('alternating', ['a', 'b'], 'a')).toBe('b')
  expect(accountAfter('alternating', ['a', 'b'], 'b')).toBe('a')
  for (const strategy of ['in-place', 'dual'] as const) expect(accountAfter(strategy, ['a'], 'a')).toBe('a')
})

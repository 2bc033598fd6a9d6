import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type AfterFault,
  afterFault,
  CLOSURE_ENDS,
  CLOSURE_STATES,
  closureStateOf,
  endOfVersion,
  GOALS,
  type Goal,
  goalAfter,
  ITEM_ENDS,
  ITEM_STATES,
  type ItemState,
  isOutage,
  lookPauseMs,
  NEXT_CLOSURE,
  NEXT_ITEM,
  nextItem,
  RELATIONS,
  STUCK,
  type WayFacts,
  wayFor,
  wayOfOthers,
} from './closure.model.ts'

const states = fc.constantFrom(...ITEM_STATES)
const counts = fc
  .dictionary(states as fc.Arbitrary<string>, fc.integer({ min: 1, max: 5 }))
  .map((found) => found as Partial<Record<ItemState, number>>)

/** Every path of the table from `planned`, as the states that it passes. */
const path = fc.array(fc.nat(), { maxLength: 30 }).map((choices) => {
  const passed: ItemState[] = ['planned']
  for (const choice of choices) {
    const next = NEXT_ITEM[passed.at(-1) ?? 'planned']
    if (next.length === 0) break
    passed.push(next[choice % next.length] ?? 'planned')
  }
  return passed
})

test('nothing is proven dead without having been destroyed, unless a human brought it back from where it stopped', () => {
  fc.assert(
    fc.property(path, (passed) => {
      const at = passed.indexOf('proven_dead')
      if (at >= 0) expect(['destroyed']).toContain(passed[at - 1])
    }),
  )
})

test('what was destroyed is never given back, but where a human says where it goes on', () => {
  fc.assert(
    fc.property(path, (passed) => {
      const at = passed.indexOf('destroyed')
      const after = at < 0 ? [] : passed.slice(at)
      // A human's retry goes to where it stopped, which is later than `destroyed`; the table itself cannot know that.
      const human = after.findIndex((state) => STUCK.includes(state))
      expect(after.slice(0, human < 0 ? undefined : human)).not.toContain('resumed')
    }),
  )
})

test('every state is reached, and every state that is no end leads to one', () => {
  const reach = (from: readonly ItemState[]): Set<ItemState> => {
    const found = new Set(from)
    for (const state of found) for (const next of NEXT_ITEM[state]) found.add(next)
    return found
  }
  expect([...reach(['planned'])].sort()).toEqual([...ITEM_STATES].sort())
  for (const state of ITEM_STATES)
    expect(
      ITEM_ENDS.some((end) => reach([state]).has(end)),
      state,
    ).toBe(true)
  expect(ITEM_ENDS).not.toContain('handed_over')
})

test('of somebody else’s nothing is ever stopped, given back or destroyed, and every state leads to an end', () => {
  for (const relation of RELATIONS.filter((each) => each !== 'own')) {
    const next = nextItem(relation)
    const found = new Set<ItemState>(['planned'])
    for (const state of found) for (const to of next[state]) found.add(to)
    for (const state of ['suspending', 'suspended', 'resuming', 'resumed', 'destroying', 'destroyed'] as const)
      expect([...found]).not.toContain(state)
    // What it comes to is something that the other table has as well, and its ends are ends there.
    for (const state of found) {
      const ends = new Set<ItemState>([state])
      for (const one of ends) for (const to of next[one]) ends.add(to)
      expect(ITEM_ENDS.some((end) => ends.has(end))).toBe(true)
      expect(next[state].length === 0).toBe(ITEM_ENDS.includes(state))
    }
  }
  expect(nextItem('own')).toBe(NEXT_ITEM)
})

test('a closure is never at its end while something waits for a human or is on its way', () => {
  fc.assert(
    fc.property(fc.constantFrom(...GOALS), counts, (goal, found) => {
      const state = closureStateOf(goal, found)
      expect(CLOSURE_STATES).toContain(state)
      const open = ITEM_STATES.filter((each) => !ITEM_ENDS.includes(each)).reduce((sum, each) => sum + (found[each] ?? 0), 0)
      if (CLOSURE_ENDS.includes(state)) expect(open).toBe(0)
      if (state === 'closed') expect((found.not_provable ?? 0) + (found.irrevocable ?? 0)).toBe(0)
      if (open === 0 && goal !== 'suspend') expect(CLOSURE_ENDS).toContain(state)
    }),
  )
})

test('a closure goes only where its table allows, whatever becomes of its items and its goal', () => {
  const step = fc.record({ goal: fc.constantFrom(...GOALS), found: counts })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      let goal: Goal = 'suspend'
      let state = closureStateOf(goal, { planned: 1 })
      for (const { goal: wanted, found } of steps) {
        if (CLOSURE_ENDS.includes(state)) break
        goal = goalAfter(goal, wanted)
        const next = closureStateOf(goal, found)
        if (next !== state) expect(NEXT_CLOSURE[state], `${state} to ${next}`).toContain(next)
        state = next
      }
    }),
  )
})

const CODES = ['target_unreachable', 'unavailable', 'target_not_authorised', 'target_conflict', 'internal', 'bad_input'] as const
const openStates = fc.constantFrom(...ITEM_STATES.filter((state) => !ITEM_ENDS.includes(state) && !STUCK.includes(state)))

/** An item through a row of faults, each of its step or, once a human has it, of a look. */
function through(state: ItemState, codes: readonly string[], jitter: number): (AfterFault & { readonly cause: string })[] {
  let at = { state, tries: 0, looks: 0, cause: undefined as string | undefined }
  return codes.map((code) => {
    const after = afterFault(at, code, jitter)
    at = { state: after.to ?? at.state, tries: after.tries, looks: after.looks, cause: after.to === null ? at.cause : code }
    return { ...after, cause: at.cause ?? code }
  })
}

const jitter = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('whatever goes wrong and how often: it is tried again by itself, but where only a human can mend the cause', () => {
  fc.assert(
    fc.property(openStates, fc.array(fc.constantFrom(...CODES), { minLength: 1, maxLength: 60 }), jitter, (state, codes, spread) => {
      let given = false
      for (const { to, pauseMs, cause } of through(state, codes, spread)) {
        given ||= to === 'handed_over'
        if (pauseMs === null) expect(given && !isOutage(cause), `${cause} after ${codes}`).toBe(true)
        else expect(pauseMs).toBeGreaterThan(0)
      }
    }),
  )
})

test('an outage goes to a human after twelve tries, and is looked at ever after, at most a quarter of an hour apart', () => {
  fc.assert(
    fc.property(openStates, jitter, (state, spread) => {
      const passed = through(
        state,
        Array.from({ length: 40 }, () => 'target_unreachable'),
        spread,
      )
      expect(passed.findIndex(({ to }) => to === 'handed_over')).toBe(11)
      const pauses = passed.slice(11).map(({ pauseMs }) => pauseMs ?? 0)
      expect(pauses).toEqual(pauses.toSorted((a, b) => a - b))
      expect(pauses[0]).toBe(lookPauseMs(0, spread))
      expect(pauses.every((pause) => pause >= 30_000 && pause <= 15 * 60_000)).toBe(true)
    }),
  )
})

test('an outage among other faults never makes a human wait for what only he can mend', () => {
  expect(through('suspending', ['target_conflict', 'target_conflict', 'target_conflict'], 0).at(-1)).toMatchObject({
    to: 'handed_over',
    pauseMs: null,
  })
  for (const end of ITEM_ENDS) {
    expect(afterFault({ state: end, tries: 0, looks: 0, cause: 'target_unreachable' }, 'target_unreachable', 0).pauseMs).toBeNull()
  }
})

test('a version is dead only if it worked, and void only if it was staged and never installed', () => {
  const facts = fc.record({
    state: fc.constantFrom('staged', 'current', 'previous'),
    seen: fc.option(fc.constantFrom('accepted', 'refused', 'unreachable', 'inconclusive'), { nil: undefined }),
    workedBefore: fc.boolean(),
  })
  fc.assert(
    fc.property(facts, (some) => {
      const end = endOfVersion(some)
      expect(end === 'dead').toBe(some.seen === 'accepted' || some.workedBefore)
      if (end === 'void') expect(some).toEqual({ state: 'staged', seen: 'refused', workedBefore: false })
      if (some.state !== 'staged') expect(end).not.toBe('void')
    }),
  )
})

test('nothing comes back from destruction', () => {
  for (const wanted of GOALS) expect(goalAfter('destroy', wanted)).toBe('destroy')
})

const FACTS: WayFacts = {
  decommissioned: false,
  canSuspend: true,
  canRevoke: true,
  drives: false,
  sharedWith: [],
  others: [],
  users: [],
  forAll: false,
}

test('the way, by what is known of the credential', () => {
  expect(wayFor(FACTS)).toMatchObject({ way: 'suspend' })
  expect(wayFor({ ...FACTS, others: ['billing'] })).toMatchObject({ way: 'rotate', consumers: ['billing'] })
  expect(wayFor({ ...FACTS, users: ['ada'] })).toMatchObject({
    way: 'rotate',
    why: 'also used by ada; nobody else on record has a file for it, so its new value goes into no file',
  })
  expect(wayFor({ ...FACTS, users: ['ada'], forAll: true })).toEqual({
    way: 'suspend',
    why: 'to be ended also for ada',
    consumers: ['ada'],
  })
  expect(wayFor({ ...FACTS, drives: true, forAll: true })).toMatchObject({ way: 'hand_over' })
  expect(wayFor({ ...FACTS, canSuspend: false })).toMatchObject({ way: 'hand_over' })
  expect(wayFor({ ...FACTS, canSuspend: false, users: ['ada'] })).toMatchObject({ way: 'rotate' })
  for (const change of [{ decommissioned: true }, { drives: true }, { sharedWith: ['x'] }, { canRevoke: false }]) {
    expect(wayFor({ ...FACTS, ...change, users: ['ada'] }), JSON.stringify(change)).toMatchObject({ way: 'hand_over' })
  }
})

test('of somebody else’s: rotated or with a human, never stopped; the reason says why, and whether anybody gets the new value', () => {
  const text = fc.array(fc.string({ minLength: 1 }), { maxLength: 3 })
  const facts = fc.record({
    decommissioned: fc.boolean(),
    canRevoke: fc.boolean(),
    drives: fc.boolean(),
    sharedWith: text,
    others: text,
    users: text,
  })
  fc.assert(
    fc.property(facts, (some) => {
      const { way, why, consumers } = wayOfOthers(some, 'ada consumes it')
      expect(why.startsWith('ada consumes it')).toBe(true)
      const human = some.decommissioned || some.drives || some.sharedWith.length > 0 || !some.canRevoke
      expect(way).toBe(human ? 'hand_over' : 'rotate')
      expect(new Set(consumers)).toEqual(new Set([...some.others, ...some.users]))
      expect(why.endsWith('goes into no file')).toBe(way === 'rotate' && consumers.length === 0)
    }),
  )
})

test('whatever else is so: no account of Rekey or of others is stopped, and what others use is destroyed by a word for all alone', () => {
  const text = fc.array(fc.string({ minLength: 1 }), { maxLength: 3 })
  const facts = fc.record({
    decommissioned: fc.boolean(),
    canSuspend: fc.boolean(),
    canRevoke: fc.boolean(),
    drives: fc.boolean(),
    sharedWith: text,
    others: text,
    users: text,
    forAll: fc.boolean(),
  })
  fc.assert(
    fc.property(facts, (some) => {
      const { way } = wayFor(some)
      if (some.drives || some.sharedWith.length > 0) expect(way).toBe('hand_over')
      if (some.others.length + some.users.length > 0 && !some.forAll) expect(way).not.toBe('suspend')
    }),
  )
})

import { expect, test } from 'vitest'
import { ACTIONS, FAMILIES, factsOf, groupsOf, isAction } from './actions.ts'

test('every action is a noun and a verb, and belongs to exactly one family', () => {
  for (const action of ACTIONS) {
    expect(action).toMatch(/^[a-z]+:[a-z]+(-[a-z]+)*$/)
    const families = FAMILIES.filter((family) => groupsOf(action).includes(family))
    expect(families).toEqual([factsOf(action).family])
  }
})

/** What the plan names as the rights of each hand. A noun is of one family only, so that `<noun>:*` never crosses hands. */
test.each([
  ['directory', ['identity', 'scim', 'team']],
  ['credential', ['closure', 'consumer', 'exception', 'finding', 'inventory', 'review', 'rotation', 'system', 'usable']],
])('the %s rights are those of %j', (family, nouns) => {
  const found = ACTIONS.filter((action) => factsOf(action).family === family).map((action) => action.split(':', 1)[0])
  expect([...new Set(found)].sort()).toEqual(nouns)
})

test('a name that is no action is none, also one that objects have by themselves', () => {
  for (const name of ['', 'rotation', 'rotation:', 'rotation:start ', '__proto__', 'constructor', 'toString', 'credential', 'rotation:*']) {
    expect(isAction(name)).toBe(false)
  }
})

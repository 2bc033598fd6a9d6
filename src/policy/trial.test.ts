import { expect, test } from 'vitest'
import { Bench } from './cedar.bench.ts'
import { parsePolicy } from './cedar.ts'
import type { ReadJob, ReadWord } from './read.wire.ts'
import { workOn } from './read.work.ts'
import type { Policy } from './set.model.ts'
import { defaultPolicies, type PolicySet } from './set.ts'
import { DEEP_IF, policyOf } from './testing.ts'
import { Ruined, tryPolicies } from './trial.ts'

/** A set past every bound, as if a reading of ours had missed it. */
const setOf = (...policies: Policy[]): PolicySet => ({ ...defaultPolicies(), policies: [...defaultPolicies().policies, ...policies] })
const ROLE = 'principal in Role::"b"'
const READ = 'action == Action::"status:read"'

test('the program that reads tells at what the engine fails when it decides, which it told nobody when it read', () => {
  const told = (job: Partial<ReadJob>) => {
    const words: ReadWord[] = []
    const whole: ReadJob = { files: [], isChecked: false, isTried: true, asks: [], now: new Date(), ...job }
    workOn(
      whole,
      (word) => words.push(word),
      () => setOf(policyOf(`permit (${ROLE}, ${READ}, resource) when { ${DEEP_IF} };`)),
    )
    return words
  }
  expect(told({})).toEqual([{ trapped: expect.any(String) }])
  expect(told({ isTried: false }).at(-1)).toHaveProperty('typesNamed')
})

test.each([
  ['a role', `${ROLE}, ${READ}, resource`],
  ['a kind in a role', `principal is Agent in Role::"b", ${READ}, resource`],
  ['a team, by each of several actions', 'principal in Team::"t", action in [Action::"kek:read", Action::"kek:rotate"], resource'],
  ['a person', `principal == Person::"p", ${READ}, resource`],
  ['a token, and one thing', 'principal == Token::"t", action == Action::"rotation:start", resource == Credential::"c"'],
  ['a type of thing', `${ROLE}, action == Action::"session:end", resource is Session`],
  ['anybody and anything', 'principal, action, resource'],
])('what fails for %s is found, whether it permits or forbids', (_, scope) => {
  for (const effect of ['permit', 'forbid']) {
    const { policies } = setOf(policyOf(`${effect} (${scope}) when { ${DEEP_IF} };`))
    expect(() => tryPolicies(policies, new Bench())).toThrow(Ruined)
  }
})

test('what fails at one action, kind or type of a scope for anybody is found', () => {
  for (const one of ['action == Action::"kek:rotate"', 'principal is Machine', 'resource is Closure', 'principal in Role::"c"']) {
    const named = policyOf(`permit (principal in Role::"c", ${READ}, resource);`, 'other')
    const { policies } = setOf(named, policyOf(`permit (principal, action, resource) when { ${one} && (${DEEP_IF}) };`))
    expect(() => tryPolicies(policies, new Bench())).toThrow(Ruined)
  }
})

test('the default policies pass', () => {
  tryPolicies(defaultPolicies().policies, new Bench())
  expect(parsePolicy('x', `permit (${ROLE}, ${READ}, resource) when { ${DEEP_IF} };`)).toHaveProperty('json')
})

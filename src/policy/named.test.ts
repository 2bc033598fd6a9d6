import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeCtx } from '../kernel/index.ts'
import { defaultPolicies, Policies, type PolicySet, peopleNamed } from './index.ts'
import { policyOf, principal } from './testing.ts'

const ID = '01a2b3c4-0000-7000-8000-000000000001'
const OTHER = '7f000000-0000-7000-8000-00000000000f'
const when = (condition: string, scope = 'principal, action, resource') =>
  peopleNamed([policyOf(`permit (${scope}) when { ${condition} };`)])

test.each([
  ['plainly', `Person::"${ID}"`],
  ['with the first letter as an escape', `Person::"\\u{30}${ID.slice(1)}"`],
  ['with every letter as an escape', `Person::"${Array.from(ID, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`).join('')}"`],
  ['as an escape of two digits', `Person::"\\x30${ID.slice(1)}"`],
])('somebody who is named %s is named: in scopes, in conditions, of every kind', (_, entity) => {
  for (const scope of [`principal == ${entity}, action, resource`, `principal in ${entity}, action, resource`]) {
    expect(when('true', scope).ids.has(ID)).toBe(true)
  }
  for (const condition of [
    `principal == ${entity}`,
    `[${entity}].contains(principal)`,
    `!(principal != ${entity})`,
    `principal in [${entity}]`,
  ]) {
    expect(when(condition)).toEqual({ ids: new Set([ID]), anybody: false })
  }
  const text = entity.slice('Person::'.length)
  for (const condition of [`principal.identity == ${text}`, `${text} == principal["identity"]`, `resource.owner == ${text} && true`]) {
    expect(when(condition)).toEqual({ ids: new Set([ID]), anybody: false })
  }
})

test.each([
  'principal.identity like "01a2*"',
  'principal has identity && !(principal["identity"] like "*")',
  'resource.owner like "01a2*" && resource.owner == principal.identity',
  '["a"].contains(principal.identity)',
  '[principal.identity].containsAny(["a"])',
  '{"a": principal.identity}.a == "a"',
  '(if principal.aal > 1 then principal.identity else "b") == "a"',
  'principal.identity != "a"',
  'principal.actsFor like "a*"',
  '{"==": principal.identity}["=="] like "a*"',
  '{"left": principal.identity, "right": "x"} == {"left": "a", "right": "x"}',
])('%s may mean anybody', (condition) => {
  expect(when(condition).anybody).toBe(true)
})

test('what the default policies compare names nobody', () => {
  const { anybody, ids } = peopleNamed(defaultPolicies().policies)
  expect(anybody).toBe(false)
  expect([...ids].filter((id) => /^[0-9a-f]{8}-/.test(id))).toEqual([])
})

const text = fc.constantFrom(`"${ID}"`, `"\\u{30}${ID.slice(1)}"`, '"01a2"', '"b"')
const entity = fc.constantFrom(`Person::"${ID}"`, `Person::"\\u{30}${ID.slice(1)}"`, 'Person::"01a2"')
const own = fc.constantFrom('principal.identity', 'principal["identity"]', 'resource.owner', '{"a": principal.identity}.a')
const atom = fc.oneof(
  fc.tuple(own, text).map(([a, b]) => `${a} == ${b}`),
  fc.tuple(own, own).map(([a, b]) => `${a} == ${b}`),
  fc.tuple(own, fc.constantFrom('"01a2*"', '"*1"', '"\\u{30}*"', '"*"')).map(([a, b]) => `${a} like ${b}`),
  entity.map((one) => `principal == ${one}`),
  entity.map((one) => `[${one}, Person::"x"].contains(principal)`),
  fc.tuple(text, own).map(([a, b]) => `[${a}, "b"].contains(${b})`),
  fc.tuple(own, text).map(([a, b]) => `(if true then ${a} else "x") == ${b}`),
  fc.constantFrom('principal has identity', 'principal is Person', 'true', 'principal.aal > 1'),
)
const condition = fc.oneof(
  atom,
  fc.tuple(atom, atom).map(([a, b]) => `(${a}) && !(${b})`),
  fc.tuple(atom, atom).map(([a, b]) => `(${a}) || (${b})`),
)
const guarded = (one: string) => `principal has identity && resource has owner && (${one})`
const policy = fc.tuple(
  fc.constantFrom('permit', 'forbid'),
  fc.constantFrom('when', 'unless'),
  fc.oneof(
    fc.constant('principal'),
    entity.map((one) => `principal == ${one}`),
  ),
  condition,
)

test('property: between two people of the same roles Cedar makes no difference, unless the one is named or anybody may be meant', () => {
  const ctx = makeCtx('test', 'test')
  const count = { differed: 0, alike: 0, unnamed: 0 }
  const decides = new Policies(defaultPolicies())
  fc.assert(
    fc.property(fc.array(policy, { minLength: 1, maxLength: 2 }), fc.boolean(), (some, open) => {
      const about = 'action == Action::"session:read", resource is Session'
      const own = some.map(([effect, how, who, one], n) => policyOf(`${effect} (${who}, ${about}) ${how} { ${guarded(one)} };`, `own${n}`))
      if (open) own.push(policyOf(`permit (principal is Person, ${about});`, 'open'))
      const set: PolicySet = { files: [], policies: own, typesNamed: new Set(['Session']) }
      decides.replace(set)
      // Each asks of a thing of their own and of one of somebody else: the same question by either.
      const may = (id: string) =>
        [id, 'somebody'].map((owner) => {
          const who = principal({ id, kind: 'person', identity: id, aal: 2, authenticatedAt: new Date() })
          return decides.explain(ctx, who, 'session:read', { type: 'session', id: 's', owner }).allowed
        })
      const { ids, anybody } = peopleNamed(own)
      const isAlike = may(ID).join() === may(OTHER).join()
      count[isAlike ? 'alike' : 'differed']++
      if (!anybody && !ids.has(ID)) count.unnamed++
      if (!isAlike) expect(anybody || ids.has(ID)).toBe(true)
    }),
    { numRuns: 500 },
  )
  expect(Object.values(count).every((some) => some > 30)).toBe(true)
}, 120_000)

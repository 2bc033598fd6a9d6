/** What is read off policies against what Cedar decides by them: nobody can do with both hands what the reading does not know of. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeCtx } from '../kernel/index.ts'
import { parsePolicy } from './cedar.ts'
import { separationFaults } from './hands.ts'
import {
  type Action,
  factsOf,
  gripsOf,
  type Hand,
  holdersOf,
  onTrial,
  type Policies,
  type Policy,
  type PolicySet,
  PRINCIPAL_KINDS,
  type Principal,
  type Resource,
} from './index.ts'
import { principal } from './testing.ts'

const ctx = makeCtx('test', 'test')
const HANDS = ['directory', 'credential'] as const
const [PERSON, TEAM] = ['01a20000-0000-7000-8000-000000000001', '01a20000-0000-7000-8000-000000000002']
const KINDS = ['Person', 'Workload', 'Machine', 'Agent', 'Token'] as const

const group = fc.constantFrom('Role::"a"', 'Role::"b"', 'Role::"self"', `Team::"${TEAM}"`)
const scope = fc.oneof(
  { weight: 1, arbitrary: fc.constant('principal') },
  { weight: 1, arbitrary: fc.constantFrom(...KINDS).map((kind) => `principal is ${kind}`) },
  { weight: 4, arbitrary: group.map((it) => `principal in ${it}`) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...KINDS), group).map(([kind, it]) => `principal is ${kind} in ${it}`) },
  { weight: 1, arbitrary: fc.constantFrom(`principal == Person::"${PERSON}"`, `principal in Person::"${PERSON}"`) },
)
const actions = fc.oneof(
  fc.constantFrom('directory', 'credential', 'changes').map((name) => `action in Action::"${name}"`),
  fc.constantFrom('identity:join', 'rotation:start').map((name) => `action == Action::"${name}"`),
  fc.constantFrom('action', 'action in [Action::"identity:join", Action::"control"]'),
)
const belief = fc.oneof(
  group.map((it) => `principal in ${it}`),
  fc.constantFrom(...KINDS).map((kind) => `principal is ${kind}`),
  fc.constantFrom('principal.aal >= 2', 'principal has identity', 'action in Action::"credential"', 'action in Action::"reads"'),
  fc.constant('principal has identity && resource has owner && resource.owner == principal.identity'),
)
const condition = fc.oneof(
  fc.constant(''),
  fc.tuple(fc.constantFrom('when', 'unless'), belief, fc.constantFrom('', '!')).map(([word, it, not]) => ` ${word} { ${not}(${it}) }`),
)
const effect = fc.constantFrom('permit', 'permit', 'permit', 'forbid')
const texts = fc
  .array(fc.tuple(effect, scope, actions, condition), { minLength: 1, maxLength: 3 })
  .map((all) => all.map(([word, who, what, when]) => `${word} (${who}, ${what}, resource)${when};`))

/** Parsed alone: to hold each of thousands against the whole schema would take minutes, and takes nothing away from what it gives. */
function setOf(texts: readonly string[]): PolicySet {
  const policies = texts.map((text, at): Policy => {
    const parsed = parsePolicy(`p${at}`, text)
    if (!('json' in parsed)) throw new Error(`${text}: ${parsed.message}`)
    return { id: `p${at}`, file: 'x.cedar', line: 1, text, json: parsed.json }
  })
  return { files: [], policies, typesNamed: new Set(['Identity']) }
}

const Who = fc.record({
  kind: fc.constantFrom(...PRINCIPAL_KINDS),
  roles: fc.subarray(['a', 'b', 'self', 'stranger']),
  teams: fc.subarray([TEAM]),
  named: fc.boolean(),
})
type Who = typeof Who extends fc.Arbitrary<infer T> ? T : never

function asking({ kind, roles, teams, named }: Who): Principal {
  const id = named ? PERSON : 'somebody'
  const best = kind === 'person' ? ({ aal: 3, authenticatedAt: ctx.clock.now() } as const) : {}
  return principal({ id, kind, identity: id, roles, teams, attestation: 'hardware', ...best })
}

/** What the random policies tell apart, of each hand. */
const ASKED = ['identity:join', 'rotation:start'] as const

/** Hands with which it can change something, by asking Cedar. */
function handsAsked(set: PolicySet, who: Principal): Hand[] {
  const thing = (type: Resource['type']) => ({ type, id: 'x', owner: who.identity ?? '', environment: 'test' })
  const can = (policies: Policies, action: Action) =>
    [null, ...factsOf(action).on.map(thing)].some((one) => policies.explain(ctx, who, action, one).allowed)
  const may = onTrial(set, (policies) => ASKED.filter((action) => can(policies, action)))
  return HANDS.filter((hand) => may.some((action) => factsOf(action).family === hand))
}

/** Hands by what is read off the set for each thing by which it could be held; where there is none, for anybody and every person. */
function handsRead(set: PolicySet, { kind, roles, teams, id }: Principal): Set<Hand> {
  const held = (one: { role: string | null; team: string | null; one: string | null }) =>
    (one.role !== null && one.role !== 'self' && roles.includes(one.role)) ||
    (one.team !== null && teams.includes(one.team)) ||
    one.one === id
  const all = holdersOf(set.policies)
  if (all.some(held)) {
    const mine = gripsOf(set.policies).filter((grip) => held({ role: null, team: null, one: null, [grip.kind]: grip.id }))
    return new Set(mine.map(({ hand }) => hand))
  }
  const open = all.filter(({ name, role }) => name === 'anybody' || (role === 'self' && kind === 'person'))
  return new Set(open.flatMap(({ families }) => HANDS.filter((hand) => families.has(hand))))
}

test('property: whoever can change something with a hand has it by what is read off the policies', () => {
  fc.assert(
    fc.property(texts, Who, (policies, written) => {
      const [set, who] = [setOf(policies), asking(written)]
      const read = handsRead(set, who)
      for (const hand of handsAsked(set, who)) expect([...read]).toContain(hand)
    }),
    { numRuns: 2000 },
  )
})

test('property: by a set that is let in without a reason nobody with one role, team or name changes things with both hands', () => {
  const one = fc.constantFrom<Partial<Who>>({ roles: ['a'] }, { roles: ['b'] }, { teams: [TEAM] }, { named: true }, {})
  fc.assert(
    fc.property(texts, one, fc.constantFrom(...PRINCIPAL_KINDS), (policies, what, kind) => {
      const set = setOf(policies)
      fc.pre(separationFaults(set.policies).length === 0)
      expect(handsAsked(set, asking({ kind, roles: [], teams: [], named: false, ...what })).length).toBeLessThan(2)
    }),
    { numRuns: 2000 },
  )
})

test('what the largest set gives is read off at once, though every holder has what is open to anybody', () => {
  const policies = Array.from({ length: 2_500 }, (_, at): Policy => {
    const text = `permit (${at % 2 === 0 ? 'principal' : `principal in Role::"r${at}"`}, action == Action::"status:read", resource);`
    const parsed = parsePolicy(`p${at}`, text)
    if (!('json' in parsed)) throw new Error(parsed.message)
    return { id: `p${at}`, file: 'x.cedar', line: at, text, json: parsed.json }
  })
  const start = performance.now()
  expect(holdersOf(policies)).toHaveLength(1_251)
  // 0.1 s; it was 49 s while each holder read what is open by itself.
  expect(performance.now() - start).toBeLessThan(20_000)
})

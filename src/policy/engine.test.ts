import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode, makeCtx } from '../kernel/index.ts'
import {
  ACTIONS,
  type Action,
  ALWAYS,
  defaultPolicies,
  factsOf,
  Policies,
  type Principal,
  RESOURCE_TYPES,
  type Resource,
  readPolicies,
  StepUpRequired,
} from './index.ts'
import { principal } from './testing.ts'

const NOW = new Date('2026-11-21T12:00:00.000Z')
const ctx = makeCtx('test', 'test', { clock: { now: () => NOW, monotonicMs: () => 0 } })
const minutesAgo = (minutes: number) => new Date(NOW.getTime() - minutes * 60_000)
const policies = new Policies(defaultPolicies())
const only = (text: string) => new Policies(readPolicies([{ name: 'test.cedar', text }]))
const person = (changes: Partial<Principal> = {}) =>
  principal({ id: 'p', kind: 'person', identity: 'i', aal: 2, authenticatedAt: minutesAgo(1), attestation: 'none', ...changes })
const may = (who: Principal, action: Action, resource?: Resource, by = policies) => by.explain(ctx, who, action, resource).allowed
/** Everything that an action can be done to, in an environment. */
const thingsOf = (action: Action, id = 'x', environment = 'prod'): (Resource | undefined)[] => [
  undefined,
  ...factsOf(action).on.map((type) => ({ type, id, environment })),
]

test('the first token may do everything but decide on approvals, which is for people', () => {
  const bootstrap = principal({ roles: ['bootstrap-admin'] })
  const refused = ACTIONS.filter((action) => !may(bootstrap, action))
  expect(refused).toEqual(['policy:approve', 'approval:bypass', 'approval:decide'])
})

test('without a role, or with one that nobody wrote down, nothing is allowed', () => {
  for (const roles of [[], ['stranger'], ['__proto__'], ['constructor'], ['Bootstrap-admin'], ['bootstrap-admin '], ['self']]) {
    for (const action of ACTIONS) expect(may(principal({ roles }), action), `${roles} ${action}`).toBe(ALWAYS.includes(action))
  }
})

test('an action that is not on the list is refused to everybody', () => {
  for (const action of ['everything:everything', '__proto__', 'directory', 'rotation:*', '']) {
    const asked = () => policies.allow(ctx, principal({ roles: ['bootstrap-admin'] }), action as Action)
    expect(asked).toThrow(expect.objectContaining({ code: 'forbidden', message: 'You may not do this.' }))
  }
})

test.each([
  ['directory-admin', 'credential'],
  ['scim-provider', 'credential'],
  ['credential-admin', 'directory'],
  ['operator', 'directory'],
  ['security-admin', 'directory'],
  ['security-admin', 'credential'],
  ['approver', 'directory'],
  ['approver', 'credential'],
])('%s changes nothing of the family %s', (role, family) => {
  const changes = ACTIONS.filter((action) => factsOf(action).family === family && !factsOf(action).reads)
  expect(changes.length).toBeGreaterThan(5)
  for (const action of changes) {
    for (const thing of thingsOf(action)) {
      expect(may(principal({ roles: [role] }), action, thing)).toBe(false)
      expect(may(person({ roles: [role], aal: 3, authenticatedAt: NOW }), action, thing)).toBe(false)
    }
  }
})

test('an auditor sees everything and changes nothing', () => {
  const auditor = person({ roles: ['auditor'], aal: 3, authenticatedAt: NOW })
  for (const action of ACTIONS) if (factsOf(action).family !== 'own') expect(may(auditor, action), action).toBe(factsOf(action).reads)
})

test('what is their own is open to people without any role, and what is another person’s is not', () => {
  const mine = { type: 'session', id: 's', owner: 'i' } as const
  expect(may(person({ aal: 1 }), 'session:end', mine)).toBe(true)
  expect(may(person({ aal: 1 }), 'session:end', { ...mine, owner: 'j' })).toBe(false)
  expect(may(person({ aal: 1 }), 'session:end', { type: 'session', id: 's' })).toBe(false)
  expect(may(person({ identity: null }), 'session:end', mine)).toBe(false)
  expect(may(principal({ kind: 'agent', identity: 'i', roles: ['self'] }), 'session:end', mine)).toBe(false)
})

test('the scope of a proof is held before any policy, and an empty one is nothing', () => {
  const roles = ['bootstrap-admin']
  expect(policies.explain(ctx, principal({ roles, scope: ['rotation:start'] }), 'rotation:retry').reason).toBe('scope')
  expect(may(principal({ roles, scope: ['rotation:start'] }), 'rotation:start')).toBe(true)
  for (const action of ACTIONS) expect(may(principal({ roles, scope: [] }), action)).toBe(ALWAYS.includes(action))
  expect(may(principal({ scope: ['rotation:start'] }), 'rotation:start')).toBe(false)
})

test('the environments of a proof are held for each thing, and where things are not checked nothing is allowed', () => {
  const roles = ['bootstrap-admin']
  const limited = policies.allow(ctx, principal({ roles, environments: ['test'] }), 'rotation:start')
  expect(() => limited.check({ type: 'credential', id: 'c', environment: 'test' })).not.toThrow()
  expect(() => limited.check({ type: 'credential', id: 'c', environment: 'prod' })).toThrow(expect.objectContaining({ code: 'forbidden' }))
  expect(limited.can({ type: 'credential', id: 'c' })).toBe(false)
  for (const action of ACTIONS.filter((each) => factsOf(each).on.length === 0)) {
    expect(policies.explain(ctx, principal({ roles, environments: ['test'] }), action).reason).toBe('environment')
  }
  expect(limited.can({ type: 'credential', id: 'c', environment: 'test' })).toBe(true)
  const none = policies.allow(ctx, principal({ roles, environments: [] }), 'rotation:start')
  expect(none.can({ type: 'credential', id: 'c', environment: 'test' })).toBe(false)
})

test('a person who would be allowed with a stronger or fresher login is told which, and nobody else is', () => {
  const ask = (who: Principal, action: Action) => () => policies.allow(ctx, who, action)
  const challenge = (who: Principal, action: Action) => {
    try {
      ask(who, action)()
      return null
    } catch (error) {
      return error instanceof StepUpRequired ? error.stepUp : 'forbidden'
    }
  }
  const admin = (changes: Partial<Principal>) => person({ roles: ['security-admin'], ...changes })
  expect(challenge(admin({}), 'kek:rotate')).toBeNull()
  expect(challenge(admin({ aal: 1 }), 'kek:rotate')).toEqual({ aal: 2, maxAgeSeconds: null })
  expect(challenge(admin({ aal: 1, authenticatedAt: minutesAgo(16) }), 'kek:rotate')).toEqual({ aal: 2, maxAgeSeconds: 900 })
  expect(challenge(admin({ authenticatedAt: minutesAgo(15) }), 'kek:rotate')).toBeNull()
  expect(challenge(admin({ authenticatedAt: new Date(minutesAgo(15).getTime() - 1) }), 'kek:rotate')).toEqual({
    aal: 2,
    maxAgeSeconds: 900,
  })
  expect(challenge(admin({ authenticatedAt: null }), 'kek:rotate')).toEqual({ aal: 2, maxAgeSeconds: 900 })
  expect(challenge(admin({ aal: 3, authenticatedAt: minutesAgo(16) }), 'kek:rotate'), 'no more than the policy asks').toEqual({
    aal: 2,
    maxAgeSeconds: 900,
  })
  expect(challenge(person({ aal: 1 }), 'kek:rotate')).toBe('forbidden')
  expect(challenge(admin({ aal: 1, scope: [] }), 'kek:rotate')).toBe('forbidden')
  expect(challenge(principal({ roles: ['security-admin'], kind: 'agent' }), 'kek:rotate')).toBe('forbidden')
})

test('a login from the future is no login', () => {
  const who = person({ roles: ['security-admin'], authenticatedAt: new Date(NOW.getTime() + 3_600_000) })
  expect(() => policies.allow(ctx, who, 'kek:rotate')).toThrow(StepUpRequired)
  expect(may(person({ roles: ['security-admin'], authenticatedAt: new Date(Number.NaN) }), 'kek:rotate')).toBe(false)
})

test('a policy that fails is a refusal, also where it would only have forbidden', () => {
  const big = '9223372036854775807'
  const failing = only(`@id("a") permit (principal, action == Action::"status:read", resource);
    @id("b") forbid (principal, action == Action::"status:read", resource) when { principal.aal + ${big} + 1 == 0 };`)
  const decision = failing.explain(ctx, person(), 'status:read')
  expect(decision).toMatchObject({ allowed: false, reason: 'failed', policies: ['test/b'] })
})

test('an answer says which policies decided', () => {
  expect(policies.explain(ctx, principal({ roles: ['operator'] }), 'rotation:start')).toMatchObject({ policies: ['operator/runs'] })
  expect(policies.explain(ctx, principal({ kind: 'agent', roles: ['security-admin'] }), 'token:create')).toMatchObject({
    reason: 'forbidden',
    policies: ['limits/agents-control-nothing'],
  })
  expect(policies.explain(ctx, principal(), 'token:create')).toMatchObject({ reason: 'unpermitted', policies: [] })
})

test('asking about a thing that the action is not done to is a fault of the program, and no permission', () => {
  const roles = ['bootstrap-admin']
  expect(() => policies.allow(ctx, principal({ roles }), 'kek:rotate', { type: 'credential', id: 'c' })).toThrow(
    expect.objectContaining({ code: 'internal' }),
  )
})

test('a set that is replaced decides from the next question on', () => {
  const changing = only('permit (principal in Role::"a", action == Action::"status:read", resource);')
  const who = principal({ roles: ['a'] })
  expect(may(who, 'status:read', undefined, changing)).toBe(true)
  changing.replace(
    readPolicies([{ name: 'test.cedar', text: 'permit (principal in Role::"b", action == Action::"status:read", resource);' }]),
  )
  expect(may(who, 'status:read', undefined, changing)).toBe(false)
})

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '"',
    '\\',
    '\n',
    '\u0000',
    '\ud800',
    '__proto__',
    'constructor',
    '"];permit(principal,action,resource);',
    'Role::"bootstrap-admin"',
    '＂',
  ),
)
const anyThing = fc.record({ id: hostile, environment: hostile, owner: hostile, system: hostile, kind: hostile }, { requiredKeys: ['id'] })

test('who ends identities may see what would become of their credentials, and no more of those', () => {
  const credential = ACTIONS.filter((action) => factsOf(action).family === 'credential')
  const asked = principal({ roles: ['directory-admin'] })
  expect(credential.filter((action) => may(asked, action))).toEqual(['closure:plan'])
  expect(may(asked, 'closure:plan', { type: 'closure', id: 'plan', environment: 'prod' })).toBe(true)
  expect(factsOf('closure:plan').reads).toBe(true)
})

test('property: whoever holds only directory roles is never allowed a credential action but to look at the plan', () => {
  const credential = ACTIONS.filter((action) => factsOf(action).family === 'credential' && action !== 'closure:plan')
  const who = fc.record({
    kind: fc.constantFrom('person', 'workload', 'machine', 'agent', 'token'),
    id: hostile,
    identity: fc.option(hostile),
    roles: fc.array(fc.constantFrom('directory-admin', 'scim-provider', 'self')),
    teams: fc.array(hostile, { maxLength: 3 }),
    aal: fc.constantFrom(0, 1, 2, 3),
    actsFor: fc.option(fc.record({ identity: hostile })),
  })
  fc.assert(
    fc.property(who, fc.constantFrom(...credential), fc.constantFrom(...RESOURCE_TYPES), anyThing, (changes, action, type, thing) => {
      const asked = principal({ ...changes, authenticatedAt: NOW } as Partial<Principal>)
      const on = factsOf(action).on.includes(type) ? { type, ...thing } : undefined
      expect(may(asked, action, on as Resource | undefined)).toBe(false)
    }),
    { numRuns: 500 },
  )
})

test('property: hostile names neither open what is closed nor close what is open', () => {
  fc.assert(
    fc.property(hostile, fc.array(hostile, { maxLength: 3 }), hostile, (id, teams, environment) => {
      const thing = { type: 'credential', id, environment } as const
      const wellFormed = [id, environment, ...teams].every((text) => text.isWellFormed())
      expect(may(principal({ id, teams, roles: ['operator'] }), 'rotation:start', thing)).toBe(wellFormed)
      expect(may(principal({ id, teams, roles: ['directory-admin'] }), 'rotation:start', thing)).toBe(false)
      const roles = [id, ...teams].filter((role) => !/^[a-z-]+$/.test(role))
      expect(may(principal({ roles }), 'rotation:start', thing)).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test('property: what is kept from earlier questions is what would be decided anew', () => {
  const text = `@id("a") permit (principal in Role::"r", action in Action::"rotation:*", resource)
      when { resource is Installation || (resource has environment && resource.environment == "test") };
    @id("b") forbid (principal, action, resource == System::"root");
    @id("c") permit (principal == Person::"p1", action in Action::"system:*", resource) when { principal.aal >= 2 };`
  const warm = only(text)
  const who = fc.record({ id: fc.constantFrom('p1', 'p2'), aal: fc.constantFrom(1, 2), roles: fc.subarray(['r', 's']) })
  const thing = fc.record({
    type: fc.constantFrom('credential', 'system'),
    id: fc.constantFrom('root', 'x', 'y'),
    environment: fc.constantFrom('test', 'prod'),
  })
  fc.assert(
    fc.property(who, thing, fc.constantFrom<Action>('rotation:start', 'system:discover'), (changes, resource, action) => {
      if (!(factsOf(action).on as readonly string[]).includes(resource.type)) return
      const asked = person(changes as Partial<Principal>)
      expect(warm.explain(ctx, asked, action, resource as Resource)).toEqual(only(text).explain(ctx, asked, action, resource as Resource))
    }),
    { numRuns: 60 },
  )
})

test('the public text of a refusal names no policy and no role', () => {
  try {
    policies.allow(ctx, person({ kind: 'agent', roles: ['security-admin'] }), 'token:create')
    expect.unreachable()
  } catch (error) {
    if (!isCode(error, 'forbidden')) throw error
    expect(error.message).toBe('You may not do token:create.')
    expect(error.detail).toBeUndefined()
  }
})

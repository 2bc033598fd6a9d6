/** Policies that get past every bound, in force: what they are not about goes on being decided. */
import { expect, test } from 'vitest'
import { type Ctx, makeCtx } from '../kernel/index.ts'
import { defaultPolicies, Policies, type Principal } from './index.ts'
import type { Policy } from './set.model.ts'
import { DEEP_IF, policyOf, principal } from './testing.ts'

function watched(): { readonly ctx: Ctx; readonly told: string[] } {
  const told: string[] = []
  const ctx = makeCtx('test', 'test')
  const log = { ...ctx.log, error: (facts: object, what: string) => void told.push(`${what}: ${JSON.stringify(facts)}`) }
  return { ctx: { ...ctx, log }, told }
}
const inForce = (...own: Policy[]) =>
  new Policies({ ...defaultPolicies(), policies: [...defaultPolicies().policies, ...own], typesNamed: new Set() })
const token = (id: string, ...roles: string[]) => principal({ id, roles })
const person = (id: string, minutes: number, ...roles: string[]): Principal =>
  principal({ id, kind: 'person', identity: id, roles, aal: 3, authenticatedAt: new Date(Date.now() - minutes * 60_000) })
const range = (count: number) => Array.from({ length: count }, (_, n) => n)
const ADMIN = token('admin', 'bootstrap-admin')

test('one policy that makes the engine fail refuses what it is about, is remembered, and stops nothing else in a hundred questions', () => {
  const policies = inForce(policyOf(`permit (principal in Role::"b", action == Action::"status:read", resource) when { ${DEEP_IF} };`))
  const { ctx, told } = watched()
  const start = performance.now()
  for (const n of range(100)) {
    const decision = policies.explain(ctx, token(`t${n}`, 'b'), 'status:read')
    expect(decision).toMatchObject({ allowed: false, reason: 'failed' })
    expect(policies.explain(ctx, token(`t${n}`, 'auditor'), 'status:read').allowed).toBe(true)
    expect(policies.explain(ctx, token(`t${n}`, 'b', 'auditor'), 'team:read').allowed).toBe(true)
    expect(policies.isWhole()).toBe(true)
  }
  // Twice where it was found, and ten times a minute at most where it is asked apart.
  expect(told.filter((what) => what.includes('is made anew'))).toHaveLength(2)
  expect(told.filter((what) => what.includes('decided apart'))).toEqual([expect.stringContaining('"policies":["own"],"of":1')])
  const refused = told.filter((what) => what.includes('at a question, which is refused')).length
  expect(refused).toBeGreaterThan(0)
  expect(refused).toBeLessThanOrEqual(10 * Math.ceil((performance.now() - start) / 60_000))
  for (const n of range(100)) policies.explain(ctx, token(`t${n % 10}`, 'b'), 'status:read')
  expect(told.filter((what) => what.includes('at a question, which is refused'))).toHaveLength(refused)
}, 120_000)

test('it is asked all the same: what it can decide it decides, permits and forbids', () => {
  const about = 'principal in Role::"b", action == Action::"status:read", resource'
  const ctx = makeCtx('test', 'test')
  for (const effect of ['permit', 'forbid']) {
    const policies = inForce(
      policyOf(`permit (${about});`, 'plain'),
      policyOf(`${effect} (${about}) when { principal.attestation == "hardware" && (${DEEP_IF}) };`),
    )
    const weak = token('weak', 'b')
    const strong: Principal = { ...token('strong', 'b'), attestation: 'hardware' }
    expect(policies.explain(ctx, strong, 'status:read')).toMatchObject({ allowed: false, reason: 'failed' })
    expect(policies.explain(ctx, weak, 'status:read')).toMatchObject({ allowed: true, policies: ['plain'] })
    expect(policies.explain(ctx, { ...weak, id: 'other' }, 'status:read')).toMatchObject({ allowed: true, policies: ['plain'] })
  }
}, 60_000)

test('many such policies, each about another action: the engine of all others is not worn down, and whoever changes policy can', () => {
  const actions = ['team:read', 'kek:read', 'usable:read', 'rotation:read', 'inventory:read', 'finding:read', 'review:read', 'token:list']
  const policies = inForce(
    ...actions.map((action, n) => policyOf(`permit (principal, action == Action::"${action}", resource) when { ${DEEP_IF} };`, `own${n}`)),
  )
  const { ctx, told } = watched()
  for (const action of actions) {
    expect(policies.explain(ctx, ADMIN, action as 'team:read')).toMatchObject({ allowed: false, reason: 'failed' })
    expect(policies.explain(ctx, ADMIN, 'policy:propose').allowed).toBe(true)
    expect(policies.isWhole()).toBe(true)
  }
  expect(told.filter((what) => what.includes('is made anew')).length).toBeLessThanOrEqual(8)
  policies.replace(defaultPolicies())
  for (const action of actions) expect(policies.explain(ctx, ADMIN, action as 'team:read').allowed).toBe(true)
}, 120_000)

test('one that is about everything, and fails at everything but changes of policy, keeps nobody from putting another set in force', () => {
  const but = 'action in [Action::"policy:propose", Action::"policy:approve", Action::"policy:bypass"]'
  const policies = inForce(policyOf(`forbid (principal, action, resource) when { !(${but}) && (${DEEP_IF}) };`))
  const { ctx } = watched()
  // Everybody asks, again and again, about what it fails at.
  for (const n of range(30)) {
    for (const action of ['session:read', 'status:read', 'policy:read'] as const) {
      expect(policies.explain(ctx, person(`p${n}`, n, 'auditor'), action).allowed).toBe(false)
    }
  }
  expect(policies.isWhole()).toBe(true)
  for (const action of ['policy:propose', 'policy:approve'] as const) {
    expect(policies.explain(ctx, person('sam', 3, 'security-admin'), action).allowed).toBe(true)
  }
  for (const action of ['policy:propose', 'policy:bypass'] as const) expect(policies.explain(ctx, ADMIN, action).allowed).toBe(true)
}, 120_000)

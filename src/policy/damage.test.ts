import { expect, test } from 'vitest'
import { type Ctx, isCode, makeCtx } from '../kernel/index.ts'
import { Bench, IN_FORCE } from './cedar.bench.ts'
import { Prepared } from './cedar.prepared.ts'
import type { Question } from './cedar.ts'
import { defaultPolicies, Policies, readPolicies } from './index.ts'
import { principal } from './testing.ts'

/** What exhausts the stack of an instance, and so leaves it unusable. */
const HOSTILE = `permit (principal, action, resource) when { ${'('.repeat(400)}true${')'.repeat(400)} };`
const admin = principal({ roles: ['bootstrap-admin'] })

/** Breaks the instance that decides, for real, as a text did that was read in it. */
function breakIt(bench: Bench): void {
  const { cedar } = bench.whole().engine
  expect(() => cedar.policyToJson(HOSTILE)).toThrow(expect.objectContaining({ name: 'RuntimeError' }))
  expect(() => cedar.policyToJson('permit (principal, action, resource);')).toThrow(expect.objectContaining({ name: 'RuntimeError' }))
}

function watched(): { readonly ctx: Ctx; readonly told: string[] } {
  const told: string[] = []
  const ctx = makeCtx('test', 'test')
  const log = { ...ctx.log, error: (_facts: object, what: string) => void told.push(what) }
  return { ctx: { ...ctx, log }, told }
}

test('an instance that was damaged decides nothing: another takes its place, with the same policies, and it is told', () => {
  const own = new Policies(
    readPolicies([{ name: 'own.cedar', text: 'permit (principal in Role::"b", action == Action::"status:read", resource);' }]),
  )
  const policies = new Policies(defaultPolicies())
  const { ctx, told } = watched()
  expect(policies.explain(ctx, admin, 'status:read').allowed).toBe(true)
  breakIt(IN_FORCE)
  expect(policies.explain(ctx, admin, 'identity:read')).toMatchObject({ allowed: true, reason: 'permitted' })
  expect(told).toEqual(['the engine that decides failed, and is made anew'])
  // Others that were prepared in the damaged one as well.
  expect(own.explain(ctx, principal({ roles: ['b'] }), 'status:read').allowed).toBe(true)
  expect(own.explain(ctx, principal({ roles: ['c'] }), 'status:read').allowed).toBe(false)
  expect(told).toHaveLength(1)
})

test('a set that is put in force at a damaged instance is in force, or the one before still is', () => {
  const policies = new Policies(defaultPolicies())
  const { ctx } = watched()
  const other = readPolicies([{ name: 'own.cedar', text: 'permit (principal in Role::"b", action == Action::"status:read", resource);' }])
  breakIt(IN_FORCE)
  expect(() => policies.replace(other)).toThrow()
  expect(policies.explain(ctx, admin, 'team:read').allowed).toBe(true)
  policies.replace(other)
  expect(policies.explain(ctx, admin, 'team:read').allowed).toBe(false)
})

const QUESTION: Question = {
  principal: { type: 'Token', id: 'a' },
  attrs: { aal: 0, attestation: 'none' },
  parents: [],
  action: 'status:read',
  resource: { type: 'Installation', id: 'installation' },
  resourceAttrs: {},
}

test('where it fails again and again nothing is decided, which is told and no refusal; and that ends', () => {
  const bench = new Bench()
  const prepared = new Prepared(bench)
  prepared.replace({ all: 'permit (principal, action, resource);' })
  for (let n = 0; n < 10; n++) {
    expect(prepared.isWhole()).toBe(true)
    breakIt(bench)
    if (n < 9) expect(prepared.ask(QUESTION).allowed).toBe(true)
    else expect(() => prepared.ask(QUESTION)).toThrow(expect.toSatisfy((error: unknown) => isCode(error, 'unavailable')))
  }
  expect(prepared.isWhole()).toBe(false)
}, 60_000)

test('half a surrogate pair in a question is a refusal, each of thousands of times, and does not wear the instance down', () => {
  const prepared = new Prepared(new Bench())
  prepared.replace({ all: 'permit (principal, action, resource);' })
  const damages: string[] = []
  for (let n = 0; n < 5_000; n++) {
    const half = { ...QUESTION, resource: { type: 'Installation', id: `\ud800${n}` } }
    expect(prepared.ask(half, (why) => damages.push(why))).toEqual({ allowed: false, policies: [], failed: true })
  }
  expect(prepared.ask(QUESTION, (why) => damages.push(why)).allowed).toBe(true)
  expect(damages).toEqual([])
})

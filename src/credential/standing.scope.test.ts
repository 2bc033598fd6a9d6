/** The lists of what stands, for somebody who may read a part of it: the rest is as if it were not there. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addTeamMembers, createToken, joinIdentity, moveIdentity, putTeam, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { newId, Secret } from '../kernel/index.ts'
import { type Action, defaultFiles, defaultPolicies, overlay, Policies, type Principal, readPolicies } from '../policy/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import { declareException, listExceptions } from './exception.ts'
import { listFindings } from './finding.list.ts'
import { listMovers } from './mover.list.ts'
import { doReview, listReviews, openReviews } from './review.ts'
import { Engine, namesAnybody } from './testing.ts'
import { listUsable, probeUsable } from './usable.ts'

let engine: Engine
let policies: Policies
/** Of each environment: an identity, its credential, an exception past its date, a review, a token. */
const names: Record<string, { identity: string; credential: string; team: string }> = {}
const SHARED = Secret.fromText(`the same everywhere ${newId()}`)

beforeAll(async () => {
  engine = await Engine.start({ worker: false })
  // Nobody listens there: nothing of this is tried.
  const address = { host: '127.0.0.1', port: 9, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem('orders-db', 'postgres', address, { account: 'root', secret: Secret.fromText(newId()) })
  policies = new Policies(defaultPolicies())
  for (const environment of ['near', 'far']) await standing(system, environment)
  const text = `permit (principal in Role::"owner-only", action in Action::"reads", resource)
    when { resource is Installation || (resource has owner && resource.owner == "${names.near?.team}") };`
  policies = new Policies(readPolicies(overlay(defaultFiles(), [{ name: 'own.cedar', text }])))
}, 60_000)
afterAll(() => engine.stop())

async function standing(system: string, environment: string): Promise<void> {
  const { ctx, db } = engine
  const [identity, credential, consumer] = [`${environment}-api`, `${environment}-login`, `${environment}-somebody`]
  const team = await db.store.inTx(async (tx) => {
    const made = await putTeam(tx, ctx, { name: `${environment}-team` })
    const member = await joinIdentity(tx, ctx, { name: `${environment}-person`, kind: 'human', source: 'api' })
    await addTeamMembers(tx, ctx, made, { identities: [member] })
    return made
  })
  const fields = {
    name: identity,
    kind: 'workload',
    purpose: 'tests',
    environment,
    source: 'api',
    owner: { kind: 'team', id: team },
  } as const
  const id = await db.store.inTx((tx) => joinIdentity(tx, ctx, fields))
  const consumers = [{ name: consumer, activation: 'none' }] as const
  const spec = { name: credential, strategy: 'in-place', accounts: [credential], current: SHARED, identity: id, consumers } as const
  const credentialId = await engine.addCredential(system, spec)
  const endsAt = new Date(ctx.clock.now().getTime() + 86_400_000)
  const more = { reason: 'the vendor sets it', waitsFor: 'OAuth', endsAt, onMissed: 'escalate', reviewEverySeconds: 60 } as const
  const input = { kind: 'vendor_managed', credential, users: [], owner: team, ...more } as const
  await declareException(engine.parts, ctx, allowed(ctx, 'exception:declare'), namesAnybody(ctx), input)
  await db.store.query(
    "update exception set created_at = now() - interval '1 day', ends_at = now() - interval '1 hour' where credential_id = $1",
    [credentialId],
  )
  await openReviews(engine.parts, ctx)
  const token = {
    name: `${environment}-token`,
    roles: ['auditor'],
    scope: null,
    environments: [environment],
    expiresSeconds: null,
    identity,
  } as const
  const may = allowed(ctx, 'token:create')
  await createToken({ store: db.store, policies }, ctx, may, principal({ id: newId(), roles: ['bootstrap-admin'] }), {
    ...token,
    actsFor: null,
    reason: 'tests',
    force: false,
  })
  const mover = await db.store.inTx((tx) =>
    joinIdentity(tx, ctx, {
      ...{ name: `${environment}-mover`, kind: 'human', source: 'api' },
      entitlements: [{ system: 'orders-db', account: credential, role: 'dba' }],
    }),
  )
  await db.store.inTx((tx) => moveIdentity(tx, ctx, mover, { entitlements: [] }))
  names[environment] = { identity, credential, team }
}

const may = <A extends Action>(action: A, who: Partial<Principal>) => policies.allow(engine.ctx, principal(who), action)
const PARTS: readonly [string, Partial<Principal>][] = [
  ['a proof that is limited to an environment', { roles: ['auditor'], environments: ['near'] }],
  ['a role whose policy asks for an owner', { roles: ['owner-only'] }],
]

/** All pages of one at a time, as text: what is not theirs must stand nowhere in it. */
async function pages<T>(read: (after: string | undefined) => Promise<{ items: readonly T[]; next: string | null }>): Promise<T[]> {
  const all: T[] = []
  for (let after: string | undefined; ; ) {
    const { items, next } = await read(after)
    all.push(...items)
    // Never empty but where there is nothing at all, and never with a next but where there is more: nothing is told of what is left out.
    expect(items).toHaveLength(next === null && all.length === 0 ? 0 : 1)
    if (next === null) return all
    after = next
  }
}

async function everything(who: Partial<Principal>) {
  const { store } = engine.db
  const page = (after: string | undefined) => ({ limit: 1, ...(after !== undefined && { after }) })
  return {
    exceptions: await pages((after) => listExceptions(store, may('exception:read', who), { ...page(after), all: true })),
    reviews: await pages((after) => listReviews(store, may('review:read', who), { ...page(after), all: true })),
    findings: await pages((after) => listFindings(store, may('finding:read', who), page(after))),
    movers: await pages(async (after) => {
      const { items, next } = await listMovers(store, may('finding:read', who), {
        limit: 1,
        ...(after !== undefined && { after: Number(after) }),
      })
      return { items, next: next === null ? null : String(next) }
    }),
    usable: await pages((after) => listUsable(store, engine.ctx, may('usable:read', who), page(after))),
  }
}

test('who may read everything reads both', async () => {
  const { exceptions, reviews, findings, movers, usable } = await everything({ roles: ['auditor'] })
  expect(movers.map(({ name }) => name)).toEqual(['near-mover', 'far-mover'])
  expect(exceptions.map(({ credential }) => credential)).toEqual(['near-login', 'far-login'])
  expect(reviews.map(({ credential }) => credential)).toEqual(['near-login', 'far-login'])
  expect(findings.filter(({ kind }) => kind === 'exception_past').map(({ subject }) => subject)).toEqual(['near-login', 'far-login'])
  expect(findings.find(({ kind, subject }) => kind === 'reused' && subject === 'near-login')?.detail).toBe(
    'its value is also that of far-login',
  )
  expect(usable.map(({ credential }) => credential)).toEqual(
    expect.arrayContaining(['root@orders-db', 'near-login', 'near-token', 'far-login', 'far-token']),
  )
})

test('usable: API tokens of Rekey itself, by identity, system, state and age, until their identity is suspended', async () => {
  const { store } = engine.db
  const ask = async (filter: object) =>
    (await listUsable(store, engine.ctx, may('usable:read', { roles: ['auditor'] }), { limit: 100, ...filter })).items
  const tokens = async (filter: object) => (await ask(filter)).filter(({ kind }) => kind === 'token').map(({ credential }) => credential)
  const near = (await ask({ identity: 'near-api' })).find(({ kind }) => kind === 'token')
  expect(near).toMatchObject({ credential: 'near-token', number: null, system: 'rekey', state: 'current', ageDays: 0, lastUsedAt: null })
  expect(near?.expiresAt).not.toBeNull()
  expect(await tokens({ system: 'rekey' })).toEqual(['near-token', 'far-token'])
  expect((await ask({ system: 'rekey' })).every(({ kind }) => kind === 'token')).toBe(true)
  expect(await tokens({ system: 'orders-db' })).toEqual([])
  expect(await tokens({ state: 'irrevocable' })).toEqual([])
  expect(await tokens({ state: 'previous' })).toEqual([])
  expect(await tokens({ olderThanDays: 1 })).toEqual([])
  // Uses are kept to the minute, which may begin before the token was made.
  await store.query("update api_token set last_used_at = created_at - interval '40 seconds' where name = 'near-token'")
  const used = (await ask({ identity: 'near-api' })).find(({ kind }) => kind === 'token')
  expect(used?.lastUsedAt).toBe(used?.since)
  await store.query("update api_token set created_at = now() - interval '2 days', last_used_at = now() where name = 'near-token'")
  expect(await tokens({ olderThanDays: 1 })).toEqual(['near-token'])
  expect((await ask({ olderThanDays: 1 }))[0]?.lastUsedAt).toEqual(expect.any(String))
  const [row] = await store.query<{ id: string }>("select id from identity where name = 'far-api'")
  await store.inTx((tx) => suspendIdentity(tx, engine.ctx, row?.id ?? '', 'away'))
  expect(await tokens({}), 'it is refused while its identity is suspended').toEqual(['near-token'])
  await store.inTx((tx) => resumeIdentity(tx, engine.ctx, row?.id ?? '', 'back'))
  expect(await tokens({})).toEqual(['near-token', 'far-token'])
})

test.each(PARTS)('%s: reads its part of every list, and nothing tells of the rest', async (_name, who) => {
  const seen = await everything(who)
  expect(seen.exceptions.map(({ credential }) => credential)).toEqual(['near-login'])
  expect(seen.reviews.map(({ credential }) => credential)).toEqual(['near-login'])
  expect(seen.movers).toMatchObject([{ name: 'near-mover', credentials: [{ name: 'near-login' }] }])
  expect(new Set(seen.findings.map(({ subject }) => subject))).toEqual(new Set(['near-login']))
  expect(seen.usable.map(({ credential }) => credential)).toContain('near-login')
  expect(JSON.stringify(seen)).not.toContain('far')
  expect(JSON.stringify(seen)).not.toContain('root@orders-db')
  expect(seen.findings.find(({ kind }) => kind === 'reused')?.detail).toBe('its value is also that of 1 other')
})

test.each(PARTS)('%s: asks for, tries and decides on nothing of the rest, in the words for what is not there', async (_name, who) => {
  const { store } = engine.db
  const ask = (identity: string, after?: string) => listUsable(store, engine.ctx, may('usable:read', who), { identity, limit: 9, after })
  expect((await ask('near-api')).items.length).toBeGreaterThan(0)
  for (const after of [undefined, newId()]) {
    const [theirs, nobody] = [await refusal(ask('far-api', after)), await refusal(ask('nobody', after))]
    expect(theirs.replace('far-api', 'nobody')).toBe(nobody)
  }
  const [far] = await store.query<{ id: string }>(
    "select v.id from version v join credential c on c.id = v.credential_id where c.name = 'far-login'",
  )
  expect(await probeUsable(engine.parts, engine.ctx, may('usable:read', who), [far?.id ?? ''])).toBe(0)
  const reviews = await listReviews(store, allowed(engine.ctx, 'review:read'), { limit: 9, all: true })
  const of = reviews.items.find(({ credential }) => credential === 'far-login')?.review ?? ''
  const decider = { ...who, roles: ['bootstrap-admin'], environments: ['near'] }
  const word = { outcome: 'keep', note: 'not mine' } as const
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  const none = newId()
  expect((await refusal(doReview(parts, engine.ctx, may('review:decide', decider), of, word))).replace(of, none)).toBe(
    await refusal(doReview(parts, engine.ctx, may('review:decide', decider), none, word)),
  )
})

async function refusal(doing: Promise<unknown>): Promise<string> {
  return doing.then(
    () => 'nothing was refused',
    (error: Error & { code?: string; hint?: string }) => JSON.stringify([error.code, error.message, error.hint]),
  )
}

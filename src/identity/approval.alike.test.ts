/** What is open for the same thing is found, whatever else is open. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { type Ctx, makeCtx, newId } from '../kernel/index.ts'
import { type Action, type Allowed, Policies, type Principal } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { openAlike } from './approval.store.ts'
import {
  ApprovalRequired,
  addTeamMembers,
  bindRole,
  decideByHand,
  ensureAdminToken,
  ensurePolicySet,
  joinIdentity,
  putRule,
  putTeam,
  readApproval,
} from './index.ts'

const ctx: Ctx = makeCtx('test', 'test')
let db: TestDatabase
let policies: Policies
let admin: Principal
let ada = ''
let bob = ''
let crew = ''
beforeAll(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
  await ensureAdminToken(db.store, ctx, async () => undefined)
  const [token] = await db.store.query<{ id: string }>('select id from api_token')
  admin = principal({ id: token?.id ?? '', roles: ['bootstrap-admin'] })
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.store.query('delete from approval_rule')
  ada = await join()
  bob = await join()
  crew = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [ada, bob] }))
})

/** A decision without a passkey. */
const unsigned = { proof: null, session: null } as const

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const join = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api' }))
const person = (id: string, changes: Partial<Principal> = {}) =>
  principal({ id, identity: id, kind: 'person', name: 'somebody', aal: 2, authenticatedAt: new Date(), ...changes })
const may = <A extends Action>(by: Principal, action: A): Allowed<A> => policies.allow(ctx, by, action)
const parts = () => ({ store: db.store })
const rule = (action: string, changes: Record<string, unknown> = {}, by = admin) =>
  putRule(db.store, ctx, may(by, 'approval:configure'), by, {
    action,
    factors: [{ team: crew, count: 1 }],
    expiresSeconds: 3600,
    reason: 'two pairs of eyes',
    ...changes,
  })
/** Runs what must wait, and resolves with the request. */
const waits = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (error: unknown) => error,
  )
  if (!(error instanceof ApprovalRequired)) throw error ?? new Error('it did not wait')
  return error.approval
}
const show = (by: Principal, id: string) => readApproval(parts(), ctx, may(by, 'approval:read'), by, id)
const approve = async (by: Principal, id: string) => {
  const { digest } = await show(by, id)
  return decideByHand(parts(), ctx, may(by, 'approval:decide'), by, id, { decision: 'approve', reason: 'read it', digest, ...unsigned })
}

/** Requests after this one that say something else, newer than any other: as somebody who floods would make them. */
async function flood(id: string, rows: { readonly what: string; readonly state?: string; readonly marks: string }): Promise<void> {
  const columns = [
    'action',
    'subject',
    'words',
    'requester_kind',
    'requester_id',
    'requester_name',
    'excluded',
    'requested_at',
    'expires_at',
  ]
  await db.store.query(
    `insert into approval (id, what, state, digest, ${columns})
     select ($2 || lpad(n::text, 12, '0'))::uuid, ${rows.what}, '${rows.state ?? 'requested'}', encode(sha256(($2 || n)::bytea), 'hex'),
            ${columns}
       from approval, generate_series(1, 300) n where id = $1`,
    [id, `ffffffff-000${rows.marks}-7000-8000-`],
  )
  await db.store.query(
    `insert into approval_factor select a.id, f.position, f.team_id, f.team_name, f.count, f.aal, f.passkey
       from approval_factor f, approval a where f.approval_id = $1 and starts_with(a.id::text, $2)`,
    [id, `ffffffff-000${rows.marks}-7000-8000-`],
  )
}

test('what was approved is found however many others are open for the same role and team', async () => {
  await rule('role:bind')
  const team = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  const member = await join()
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [member] }))
  const input = { role: 'operator', kind: 'team', subject: team, reason: 'runs the nights', force: false } as const
  const bind = () => bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, input)
  const id = await waits(bind())
  await approve(person(ada), id)
  const reason = `replace(what, 'runs the nights', 'flood ' || n)`
  await flood(id, { what: reason, marks: '1' })
  await flood(id, { what: reason, state: 'approved', marks: '2' })
  // The very same, for other people: somebody else came into the team and went out again, each time.
  const others = `replace(what, '"people":[', '"people":["' || gen_random_uuid() || '",')`
  await flood(id, { what: others, marks: '3' })
  await flood(id, { what: others, state: 'approved', marks: '4' })
  const before = await db.store.query<{ count: number }>('select count(*)::int as count from approval')
  expect((await bind()).role).toBe('operator')
  expect(await show(person(ada), id)).toMatchObject({ state: 'consumed' })
  expect(await db.store.query('select count(*)::int as count from approval')).toEqual(before)
  await db.store.query("delete from approval_factor where starts_with(approval_id::text, 'ffffffff')")
  await db.store.query("delete from approval where starts_with(id::text, 'ffffffff')")
})

test('a reason that looks like the list of people is a reason; what is open for the same is looked up by the index', async () => {
  await rule('role:bind')
  const team = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  const asked = new Set<string>()
  for (const reason of ['"people":[]', '"people":["x"] and {} all', '"people":{"count":1}', 'plain']) {
    const input = { role: 'operator', kind: 'team', subject: team, reason, force: false } as const
    const bind = () => bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, input)
    const id = await waits(bind())
    expect(await waits(bind())).toBe(id)
    asked.add(id)
  }
  expect(asked.size).toBe(4)
  const plan: object[] = []
  const explain = async (text: string, params?: readonly unknown[]) => {
    plan.push(...(await db.store.query(`explain ${text}`, params)))
    return []
  }
  await openAlike({ query: explain }, { action: 'role:bind', subject: 'x', what: '{}', digest: 'x' })
  expect(JSON.stringify(plan)).toContain('approval_alike')
})

/** For tests of what waits for approval only: a crew of two, a rule that asks them, and what they do. */
import { afterAll, beforeAll, beforeEach } from 'vitest'
import {
  ApprovalRequired,
  addTeamMembers,
  decideByHand,
  ensureAdminToken,
  ensurePolicySet,
  joinIdentity,
  putRule,
  putTeam,
  readApproval,
} from '../../src/identity/index.ts'
import { type Ctx, type ErrorCode, isCode, makeCtx, newId } from '../../src/kernel/index.ts'
import { type Action, type Allowed, Policies, type Principal } from '../../src/policy/index.ts'
import { principal } from '../../src/policy/testing.ts'
import type { Tx } from '../../src/store/index.ts'
import { freshDatabase, type TestDatabase } from './database.ts'

export const ctx: Ctx = makeCtx('test', 'test')
export let db: TestDatabase
export let policies: Policies
export let admin: Principal
export let ada = ''
export let bob = ''
export let crew = ''

/** For every test of a file: a database of its own; before each of them other people, another crew, and no rule. */
export function setUp(): void {
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
}

/** A decision without a passkey. */
export const unsigned = { proof: null, session: null } as const

export const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
export const code = (wanted: ErrorCode) => (error: unknown) => isCode(error, wanted)
export const join = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api' }))
export const person = (id: string, changes: Partial<Principal> = {}) =>
  principal({ id, identity: id, kind: 'person', name: 'somebody', aal: 2, authenticatedAt: new Date(), ...changes })
export const may = <A extends Action>(by: Principal, action: A): Allowed<A> => policies.allow(ctx, by, action)
export const parts = () => ({ store: db.store })
export const rule = (action: string, changes: Record<string, unknown> = {}, by = admin) =>
  putRule(db.store, ctx, may(by, 'approval:configure'), by, {
    action,
    factors: [{ team: crew, count: 1 }],
    expiresSeconds: 3600,
    reason: 'two pairs of eyes',
    ...changes,
  })
/** Runs what must wait, and resolves with the request. */
export const waits = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (error: unknown) => error,
  )
  if (!(error instanceof ApprovalRequired)) throw error ?? new Error('it did not wait')
  return error.approval
}
export const show = (by: Principal, id: string) => readApproval(parts(), ctx, may(by, 'approval:read'), by, id)
export const approve = async (by: Principal, id: string) => {
  const { digest } = await show(by, id)
  return decideByHand(parts(), ctx, may(by, 'approval:decide'), by, id, { decision: 'approve', reason: 'read it', digest, ...unsigned })
}

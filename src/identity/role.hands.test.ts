/** A role that gives both hands has its reason in its policy, and that speaks for no other way of holding both. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { defaultFiles, Policies, readPolicies } from '../policy/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import { ensurePolicySet } from './index.ts'
import { joinIdentity } from './lifecycle.join.ts'
import { newlyBoth } from './policyset.hands.ts'
import { bindRole, unbindRole } from './role.actions.ts'
import type { SubjectKind } from './role.model.ts'
import { addTeamMembers, putTeam } from './team.actions.ts'
import { changeTeam } from './team.change.ts'

const ctx = makeCtx('test', 'test')
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
let db: TestDatabase
let policies: Policies
let zed: string
beforeEach(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
  zed = await db.store.inTx((tx) => joinIdentity(tx, ctx, { name: 'zed', kind: 'human', source: 'api' }))
})
afterEach(() => db.drop())

const bind = (role: string, force = false, kind: SubjectKind = 'identity', subject = zed) =>
  bindRole(db.store, ctx, allowed(ctx, 'role:bind'), admin, policies, { role, kind, subject, reason: 'two roles of her own', force })
const unbind = (id: string, force = false) =>
  unbindRole(db.store, ctx, allowed(ctx, 'role:unbind'), policies.set, id, { reason: 'the roles are split', force })
/** As versions before this one left it: nobody was asked. */
async function bound(role: string, kind: SubjectKind = 'identity', subject = zed): Promise<string> {
  const id = newId()
  await db.store.query(
    "insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, $3, $4, 'test', 'test')",
    [id, role, kind, subject],
  )
  return id
}
const WITHOUT = expect.stringMatching(
  /^(It|zed) would hold directory rights and credential rights together, also without a role meant for both\.$/,
)

test('two roles beside one that gives both: the second is refused unless it is forced, and then the first may go', async () => {
  const first = await bound('bootstrap-admin')
  await bind('directory-admin')
  await expect(bind('credential-admin')).rejects.toMatchObject({ code: 'wrong_state', message: WITHOUT })
  await bind('credential-admin', true)
  expect(await db.store.query('select reason, apart from both_hands')).toEqual([{ reason: 'two roles of her own', apart: true }])
  await unbind(first)
})

test('where nobody was asked when they were bound, it is asked when the role that gives both goes: by hand, or with its team', async () => {
  const first = await bound('bootstrap-admin')
  const team = await db.store.inTx((tx) => putTeam(tx, ctx, { name: 'admins' }))
  await db.store.inTx((tx) => addTeamMembers(tx, ctx, team, { identities: [zed] }))
  for (const role of ['directory-admin', 'operator']) await bound(role)
  await expect(unbind(first)).rejects.toMatchObject({ code: 'wrong_state', message: WITHOUT })
  await bound('bootstrap-admin', 'team', team)
  await unbind(first)
  const parts = { store: db.store, policies }
  const leave = (force: boolean) =>
    changeTeam(parts, ctx, allowed(ctx, 'team:change'), admin, team, {
      add: {},
      remove: { identities: [zed] },
      reason: 'the roles are split',
      force,
    })
  await expect(leave(false)).rejects.toMatchObject({ code: 'wrong_state', message: WITHOUT })
  await leave(true)
  expect(await db.store.query('select reason from both_hands')).toEqual([{ reason: 'the roles are split' }])
})

test('what was forced of a role that gives both is not said of others, and what was forced of others is over with them', async () => {
  const first = await bind('bootstrap-admin', true)
  expect(await db.store.query('select apart from both_hands')).toEqual([{ apart: false }])
  await bind('directory-admin')
  await expect(bind('operator')).rejects.toMatchObject({ message: WITHOUT })
  const second = await bind('operator', true)
  await unbind(second.id)
  await expect(bind('operator')).rejects.toMatchObject({ message: WITHOUT })
  await unbind(first.id)
  expect(await db.store.query('select from both_hands')).toEqual([])
})

test('a token and a team without people are looked at the same way', async () => {
  const team = await db.store.inTx((tx) => putTeam(tx, ctx, { name: 'nobody yet' }))
  await bound('bootstrap-admin', 'team', team)
  await bind('directory-admin', false, 'team', team)
  await expect(bind('operator', false, 'team', team)).rejects.toMatchObject({ code: 'wrong_state' })
  await bind('operator', true, 'team', team)
})

test('policies that leave a role one hand of two are looked at with what else its holders have', async () => {
  await bound('bootstrap-admin')
  await bind('operator')
  const name = 'bootstrap-admin.cedar'
  const less = { name, text: 'permit (principal in Role::"bootstrap-admin", action in Action::"directory", resource);\n' }
  const next = readPolicies([...defaultFiles().filter((one) => one.name !== name), less])
  expect((await newlyBoth(db.store, policies.set, next)).map((one) => one.name)).toEqual(['zed'])
})

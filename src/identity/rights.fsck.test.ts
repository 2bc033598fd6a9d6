/** Rows that were planted or changed by hand are found: who may log in, who holds what, whom we trust, what was decided. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { inlineIssuer, labKey } from '../../test/lab/issuer.ts'
import { type Ctx, makeCtx, newId } from '../kernel/index.ts'
import { type Action, type Allowed, Policies, type Principal } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { decideApproval, requestApproval } from './approval.actions.ts'
import { approvalDigest } from './approval.model.ts'
import {
  addIssuer,
  addTeamMembers,
  bindRole,
  ensureAdminToken,
  ensurePolicySet,
  fsckRights,
  joinIdentity,
  mapIssuer,
  putRule,
  putTeam,
  sayPerson,
  takeBack,
  unbindRole,
} from './index.ts'
import { rightsFindings } from './rights.fsck.ts'
import { startSession } from './session.ts'

const ctx: Ctx = makeCtx('test', 'test')
let db: TestDatabase
let policies: Policies
let ada = ''
let bob = ''
let team = ''
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const may = <A extends Action>(action: A): Allowed<A> => policies.allow(ctx, admin, action)
const join = (kind: 'human' | 'workload' = 'human') => {
  const more = kind === 'human' ? {} : { purpose: 'serves', environment: 'test', owner: { kind: 'person' as const, id: ada } }
  return tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind, source: 'api', ...more }))
}
const person = (id: string): Principal =>
  principal({ id, identity: id, kind: 'person', name: 'somebody', aal: 2, authenticatedAt: new Date() })
const asked = { action: 'identity:offboard', subject: 'joan', what: { identity: 'joan' }, words: 'End joan.' } as const
const digest = approvalDigest(asked)

beforeAll(async () => {
  db = await freshDatabase()
  policies = new Policies(await ensurePolicySet(db.store, ctx))
  await ensureAdminToken(db.store, ctx, async () => undefined)
  ada = await join()
  bob = await join()
  team = await tx((tx) => putTeam(tx, ctx, { name: 'guards' }))
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [ada, bob] }))
  const bind = (subject: string) => {
    const input = { role: 'operator', kind: 'identity', subject, reason: 'nights', force: false } as const
    return bindRole(db.store, ctx, may('role:bind'), admin, policies, input)
  }
  await bind(ada)
  const gone = await bind(bob)
  await unbindRole(db.store, ctx, may('role:unbind'), policies.set, gone.id, { reason: 'done', force: false })
  const rule = { action: 'role:bind', factors: [{ team, count: 2 }], expiresSeconds: 3600, reason: 'two pairs of eyes' }
  await putRule(db.store, ctx, may('approval:configure'), admin, rule)
  const said = { one: ada, other: bob, same: false, reason: 'a mailbox of the team', force: false }
  await sayPerson(db.store, ctx, may('identity:move'), admin, policies, said)
  await request()
  await session()
  await issuer()
})
afterAll(() => db.drop())

async function request(): Promise<void> {
  const factors = [{ team, count: 2, aal: 2, passkey: false }] as const
  const id = await tx((tx) => requestApproval(tx, ctx, { ...asked, factors, expiresSeconds: 3_600, requestedBy: admin }))
  const input = { decision: 'approve', reason: 'read it', digest, assertion: null } as const
  await tx((tx) => decideApproval(tx, ctx, person(bob), id, input))
  await tx((tx) => takeBack(tx, ctx, person(bob), id, 'thought again'))
  await tx((tx) => decideApproval(tx, ctx, person(ada), id, input))
}

async function session(): Promise<void> {
  const how = { method: 'oidc', provider: null, passkey: null, browser: 'test', replaces: null, authenticatedAt: null } as const
  await tx((tx) => startSession(tx, ctx, { ...how, identity: ada, name: 'ada', aal: 2 }))
}

async function issuer(): Promise<void> {
  const { publicJwk } = await labKey('ES256')
  await addIssuer(db.store, ctx, may('issuer:configure'), admin, inlineIssuer(publicJwk))
  await mapIssuer(db.store, ctx, may('issuer:configure'), admin, {
    issuer: 'ci',
    part: 'subject',
    identity: await join('workload'),
    claims: { sub: 'repo:acme/app:ref:refs/heads/main' },
    prefixes: {},
    hardware: false,
    scope: null,
    environments: null,
    actsFor: null,
  })
}

test('what was done by the book is in order', async () => {
  expect(await fsckRights(db.store)).toEqual([])
})

const ID = '01890000-0000-7000-8000-000000000000'
const HASH = 'ab'.repeat(32)
const TAMPERED: readonly (readonly [string, string, RegExp])[] = [
  [
    'a role that nobody gave',
    `insert into role_binding values ('${ID}', 'bootstrap-admin', 'identity', '${ID}', now(), 'x', 'x')`,
    /^role bootstrap-admin of/,
  ],
  [
    'a role that was given, to somebody else',
    `update role_binding set subject_id = '${ID}' where role = 'operator'`,
    /^role operator of identity 01890000/,
  ],
  ['a role called another', `update role_binding set role = 'auditor' where role = 'operator'`, /^role auditor/],
  ['a role taken away', `delete from role_binding where role = 'operator'`, /^role operator/],
  [
    'a passkey',
    `insert into passkey select '${ID}', id, 'cred', '\\x00', 0, '{}', 'x', 'none', true, false, 'localhost', 'k', now(), null
       from identity where kind = 'human' limit 1`,
    /^passkey 01890000/,
  ],
  [
    'a login provider',
    `insert into login_provider (id, name, issuer, client_id, auth, scopes, acr, amr, aal, max_age_seconds, link_by_email)
     values ('${ID}', 'evil', 'https://evil.example', 'x', 'none', 'openid', '{}', '{}', 2, 60, true)`,
    /^login provider 01890000/,
  ],
  [
    'a session',
    `insert into session select '${ID}', decode('${HASH}', 'hex'),
       identity_id, 3, now(), 'oidc', null, null, 'x', now(), now(), now() + interval '1 hour', 900, null
       from session limit 1`,
    /^session 01890000.*knows nothing/,
  ],
  ['a stronger session', 'update session set aal = 3', /Its aal is 3 by the table, 2 by the log/],
  [
    'a session of another',
    `update session set identity_id = (select id from identity i where i.kind = 'human' and i.id <> session.identity_id limit 1)`,
    /Its identity is/,
  ],
  ['a session with another cookie', `update session set hash = decode('${HASH}', 'hex')`, /^session .*Its digest is/],
  ['a fresher session', `update session set authenticated_at = authenticated_at + interval '1 minute'`, /Its authenticatedAt is/],
  ['a longer session', `update session set ends_at = ends_at + interval '1 minute'`, /lasts longer/],
  ['a wider claim', `update issuer_rule set claims = '{"sub": "repo:evil/app:ref:refs/heads/main"}'`, /Its claims is/],
  ['a prefix', `update issuer_rule set prefixes = '{"sub": "repo:"}'`, /Its prefixes is/],
  ['a rule for another identity', `update issuer_rule set identity_id = '${ID}'`, /^claim rule .*Its identity is/],
  ['a rule that was taken away', 'delete from issuer_rule', /^claim rule .*table does not/],
  ['another audience', `update issuer set audience = 'everybody'`, /^issuer .*Its audience is/],
  ['another issuer', `update issuer set origin = 'https://evil.example'`, /^issuer .*Its origin is/],
  ['an approval that is decided', `update approval set state = 'approved'`, /Its state is "approved" by the table, "requested" by the log/],
  [
    'an approval that is used again',
    `update approval set state = 'requested', expires_at = expires_at + interval '1 day'`,
    /Its expiresAt is/,
  ],
  ['an approval of something else', `update approval set words = 'Do nothing.'`, /Its digest is not that of what its row says/],
  ['an approval of something else, with its digest', `update approval set digest = '${HASH}'`, /Its digest is "abab/],
  ['an approval whose asker may decide', `update approval set excluded = '{x}'`, /Its excluded is/],
  ['an approval that another asked for', `update approval set requester_id = 'x'`, /Its requester is/],
  ['a bypass', `update approval set bypassed_by = '${ID}', bypass_reason = 'in a great hurry', state = 'bypassed'`, /Its bypassedBy is/],
  ['fewer people', 'update approval_factor set count = 1', /Its factors is/],
  ['another approver', `insert into approval_approver select approval_id, 0, '${ID}', 'x' from approval_factor`, /Its approvers is/],
  [
    'a decision',
    `insert into approval_decision select '${ID}', approval_id, '${ID}', 'x', 'approve', 'x', 2, now(), null, null, now(), null, null
       from approval_factor`,
    /The decision .* is known to the table only/,
  ],
  ['a decision that is back', 'update approval_decision set taken_back_at = null', /known to the table only/],
  ['a decision of a better login', 'update approval_decision set aal = 3 where taken_back_at is null', /known to the table only/],
  ['a decision that is gone', 'delete from approval_decision where taken_back_at is null', /known to the log only/],
  ['a rule that is gone', 'delete from approval_rule', /^approval rule of role:bind.*table does not/],
  ['a rule that asks for fewer', `update approval_rule set factors = jsonb_set(factors, '{0,count}', '1')`, /Its factors is/],
  ['two who are one', 'update identity_pair set same = true', /^same person .*Its same is true/],
  ['two of whom nothing was said', 'delete from identity_pair', /^same person/],
  [
    'other policies in force',
    `update policy_set set files = jsonb_set(files, '{0,text}', '"permit (principal, action, resource);"')`,
    /^policies in force.*Its digest/,
  ],
]

test.each(TAMPERED)('%s is found', async (_, sql, finding) => {
  const rolledBack = new Error('nothing of it stays')
  const lines: string[] = []
  const done = tx(async (tx) => {
    await tx.query(sql)
    for (const { where, what } of await rightsFindings(tx)) lines.push(`${where}: ${what}`)
    throw rolledBack
  })
  await expect(done).rejects.toBe(rolledBack)
  expect(lines.join('\n')).toMatch(new RegExp(finding.source, 'm'))
})

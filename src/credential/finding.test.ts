/** Findings that need more than rows: each comes from what was done by the front door, on a real PostgreSQL, and goes when it is mended. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import {
  addIssuer,
  addTeamMembers,
  identityNamed,
  joinIdentity,
  leaveIdentity,
  mapIssuer,
  moveIdentity,
  offboardIdentity,
  putIdentities,
  putRule,
  putTeam,
  resumeIdentity,
  securityContact,
  setTeamMembers,
  suspendIdentity,
  unmapIssuer,
} from '../identity/index.ts'
import { makeCtx, newId, Secret, sleep } from '../kernel/index.ts'
import { allowed, permitted, principal } from '../policy/testing.ts'
import { possessionProof } from '../seal/index.ts'
import { giveUpItem } from './closure.actions.ts'
import { answerChallenge, makeChallenge } from './consumer.ts'
import { declareException, endException } from './exception.ts'
import { listFindings } from './finding.list.ts'
import { FINDING_KINDS, type Finding, type FindingKind } from './finding.model.ts'
import { type CredentialSpec, Engine, namesAnybody } from './testing.ts'

let target: LabPostgres
let engine: Engine
let system: string
beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start()])
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('orders-db', 'postgres', address, target.superuser)
  await engine.addCloser()
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
let serial = 0

async function person(): Promise<{ id: string; name: string }> {
  const name = `person-${++serial}`
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind: 'human', purpose: 'tests', source: 'api' })), name }
}

async function workload(owner: string): Promise<{ id: string; name: string }> {
  const fields = { name: `workload-${++serial}`, kind: 'workload', purpose: 'tests', environment: 'test', source: 'api' } as const
  const id = await inTx((tx) => joinIdentity(tx, engine.ctx, { ...fields, owner: { kind: 'person', id: owner } }))
  return { id, name: fields.name }
}

async function credential(identity: string, more: Partial<CredentialSpec> = {}): Promise<string> {
  const name = `acc_${++serial}`
  const password = `pass-${newId()}`
  await target.query(`create role ${name} login password '${password}'`)
  const spec = { name, strategy: 'in-place', accounts: [name], current: Secret.fromText(password), identity, ...more } as const
  await engine.addCredential(system, spec)
  return name
}

async function found(kind: FindingKind, subject: string): Promise<Finding | undefined> {
  const may = allowed(engine.ctx, 'finding:read')
  const { items } = await listFindings(engine.db.store, may, { kind, limit: 500 })
  return items.find((each) => each.subject === subject)
}

test('ownerless: an owner who does not answer is found, and it goes when there is one who does', async () => {
  const boss = await person()
  const held = await workload(boss.id)
  const own = await credential(held.id)
  expect(await found('ownerless', own)).toBeUndefined()
  await inTx((tx) => suspendIdentity(tx, engine.ctx, boss.id, 'away'))
  expect(await found('ownerless', own)).toMatchObject({
    control: 'NHI1',
    detail: `${held.name} is owned by ${boss.name}: person suspended`,
    // Whoever was to answer cannot: the security contact is asked.
    owner: { kind: 'team', name: 'security-contact' },
  })
  const since = (await found('ownerless', own))?.since
  await sleep(5)
  await inTx((tx) => moveIdentity(tx, engine.ctx, held.id, { purpose: 'something else' }))
  expect(await found('ownerless', own), 'a change of something else does not begin it anew').toMatchObject({ since })
  await inTx((tx) => resumeIdentity(tx, engine.ctx, boss.id, 'back'))
  expect(await found('ownerless', own)).toBeUndefined()
})

test('ownerless: a program whose owner names nobody is found once, with credentials by them and without by itself', async () => {
  const name = `bare-${++serial}`
  const file = { kind: 'workload', owner: `nobody-${serial}`, purpose: 'x', environment: 'prod' } as const
  await inTx((tx) => putIdentities(tx, engine.ctx, permitted(engine.ctx), [{ name, ...file }]))
  expect(await found('ownerless', name)).toMatchObject({ identity: name, detail: `it is owned by nobody-${serial}, whom nobody knows` })
  const held = await identityNamed(engine.db.store, name)
  const own = await credential(held.id)
  expect(await found('ownerless', own)).toBeDefined()
  expect(await found('ownerless', name)).toBeUndefined()
})

test('irrevocable: what a human says that nobody can revoke stays found', async () => {
  const leaver = await person()
  const own = `by-hand-${++serial}`
  // The account with which Rekey drives the system: the closure hands it to a human.
  const { account, secret } = target.superuser
  await engine.addCredential(system, { name: own, strategy: 'in-place', accounts: [account], current: secret, identity: leaver.id })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  const waits = async () => found('closure_waits', own)
  for (const end = engine.ctx.clock.monotonicMs() + 20_000; (await waits()) === undefined; await sleep(30)) {
    if (engine.ctx.clock.monotonicMs() > end) throw new Error('it is not handed over')
  }
  const [item] = await engine.db.store.query<{ closure_id: string }>(
    'select i.closure_id from closure_item i where i.credential_name = $1',
    [own],
  )
  const may = allowed(engine.ctx, 'closure:resolve')
  await giveUpItem(engine.parts, engine.ctx, may, item?.closure_id ?? '', { credential: own, reason: 'the vendor has no way' })
  expect(await found('irrevocable', own)).toMatchObject({ control: 'NHI1', severity: 'high', detail: 'version 1 cannot be revoked' })
  expect(await waits()).toBeUndefined()
})

test('human use: shared by an exception, until it ends', async () => {
  const [boss, user] = [await person(), await person()]
  const own = await credential((await workload(boss.id)).id)
  const endsAt = new Date(engine.ctx.clock.now().getTime() + 86_400_000)
  const more = { reason: 'until single sign-on', waitsFor: 'OIDC', endsAt, onMissed: 'escalate' } as const
  const input = { kind: 'shared_account', credential: own, users: [user.name], owner: boss.id, ...more } as const
  const view = await declareException(engine.parts, engine.ctx, allowed(engine.ctx, 'exception:declare'), namesAnybody(engine.ctx), input)
  expect(await found('human_use', own)).toMatchObject({ control: 'NHI10', detail: `owned by a workload, used by ${user.name}` })
  await endException(engine.parts, engine.ctx, allowed(engine.ctx, 'exception:end'), view.exception, 'moved')
  expect(await found('human_use', own)).toBeUndefined()
})

test('human use: a consumer that is a person on record; a program and an unknown name are none', async () => {
  const [boss, user] = [await person(), await person()]
  const held = await workload(boss.id)
  const shell = await credential(held.id, { consumers: [{ name: user.name, activation: 'none' }] })
  const plain = await credential(held.id, {
    consumers: [
      { name: held.name, activation: 'none' },
      { name: 'nobody-on-record', activation: 'none' },
    ],
  })
  expect(await found('human_use', shell)).toMatchObject({ detail: `owned by a workload, used by ${user.name}` })
  expect(await found('human_use', plain)).toBeUndefined()
  // Their own credential is theirs to use.
  const own = await credential(user.id, { consumers: [{ name: user.name, activation: 'none' }] })
  expect(await found('human_use', own)).toBeUndefined()
})

test('human use: a person who showed that they hold the value of a program, until the next rotation', async () => {
  const [boss, user] = [await person(), await person()]
  const held = await workload(boss.id)
  const path = join(engine.folder, held.name)
  const own = await credential(held.id, { consumers: [{ name: 'reader', path, activation: 'report' }] })
  const rotate = async (actor: string) => {
    const [rotation = ''] = await engine.rotate([own])
    await engine.until(rotation, ({ state, reason }) => state === 'distributed' && reason !== null)
    const ctx = makeCtx(actor, 'test')
    const may = allowed(ctx, 'consumer:report')
    const { id, nonce } = await makeChallenge(engine.parts, ctx, may, own, 'reader')
    await answerChallenge(engine.parts, ctx, may, id, possessionProof(Secret.fromText(readFileSync(path, 'utf8').trimEnd()), nonce))
    await engine.finished(rotation)
  }
  await rotate(`person:${user.id}`)
  expect(await found('human_use', own)).toMatchObject({ control: 'NHI10', detail: `owned by a workload, used by ${user.name}` })
  await rotate(`workload:${held.id}`)
  expect(await found('human_use', own)).toBeUndefined()
})

test('weak rule: an issuer whose tokens count by a prefix, until the rule is taken back', async () => {
  const boss = await person()
  const held = await workload(boss.id)
  const may = allowed(engine.ctx, 'issuer:configure')
  const { store } = engine.db
  const issuer = { name: 'ci', type: 'ci', origin: 'https://ci.example.com', audience: 'https://rekey.example' } as const
  await addIssuer(store, engine.ctx, may, principal(), { ...issuer, keys: { from: 'discovery' } })
  const rule = {
    issuer: 'ci',
    identity: held.name,
    part: 'subject',
    scope: null,
    environments: null,
    actsFor: null,
    hardware: false,
  } as const
  const exact = await mapIssuer(store, engine.ctx, may, principal(), { ...rule, claims: { sub: 'repo:acme/exact' }, prefixes: {} })
  expect(await found('weak_rule', held.name)).toBeUndefined()
  const weak = await mapIssuer(store, engine.ctx, may, principal(), { ...rule, claims: {}, prefixes: { sub: 'repo:acme/shop:' } })
  expect(await found('weak_rule', held.name)).toMatchObject({
    control: 'NHI6',
    owner: { kind: 'person', id: boss.id },
    identity: held.name,
    detail: expect.stringContaining('sub beginning with "repo:acme/shop:"'),
  })
  await unmapIssuer(store, engine.ctx, may, 'ci', weak)
  expect(await found('weak_rule', held.name)).toBeUndefined()
  await unmapIssuer(store, engine.ctx, may, 'ci', exact)
})

test('handover: what a leaver owned is found with its new owner, until somebody names one', async () => {
  const [leaver, next] = [await person(), await person()]
  const held = await workload(leaver.id)
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  expect(await found('handover', held.name)).toMatchObject({ owner: { kind: 'team', name: 'security-contact' } })
  await inTx((tx) => moveIdentity(tx, engine.ctx, held.id, { owner: { kind: 'person', id: next.id } }))
  expect(await found('handover', held.name)).toBeUndefined()
})

test('handover: a leaver who owned themselves is found until they are offboarded, since nothing of them moves after it', async () => {
  const leaver = await person()
  await inTx((tx) => leaveIdentity(tx, engine.ctx, leaver.id, 'left'))
  expect(await found('handover', leaver.name)).toMatchObject({ owner: { name: 'security-contact' } })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  expect(await found('handover', leaver.name)).toBeUndefined()
  // As one that a server before this left open.
  await engine.db.store.query('update handover set settled_at = null where identity_id = $1', [leaver.id])
  expect(await found('handover', leaver.name)).toBeUndefined()
})

test('handover: what moves to a tenancy where its owner is not is found with the security contact', async () => {
  const boss = await person()
  const held = await workload(boss.id)
  await inTx((tx) => moveIdentity(tx, engine.ctx, held.id, { tenancy: 'eu' }))
  expect(await found('handover', held.name)).toMatchObject({ owner: { name: 'security-contact' } })
})

test('what is worse is listed before what is less bad, over all pages, and nothing twice', async () => {
  const may = allowed(engine.ctx, 'finding:read')
  const rank = { high: 0, medium: 1, low: 2 }
  const one = await person()
  await credential(one.id)
  const helper = await workload(one.id)
  await credential(helper.id, { consumers: [{ name: one.name, activation: 'none' }] })
  await inTx((tx) => suspendIdentity(tx, engine.ctx, one.id, 'away'))
  for (const limit of [1, 2, 500]) {
    const all: Finding[] = []
    for (let after: string | undefined; ; ) {
      const page = await listFindings(engine.db.store, may, { limit, after })
      all.push(...page.items)
      if (page.next === null) break
      after = page.next
    }
    const ranks = all.map(({ severity }) => rank[severity])
    expect(ranks).toEqual([...ranks].sort())
    expect(new Set(ranks).size, 'more than one severity').toBeGreaterThan(1)
    expect(new Set(all.map(({ finding }) => finding)).size).toBe(all.length)
  }
})

test('an empty security contact is found from the start; other empty teams once they own something or a rule asks them', async () => {
  expect(await found('empty_team', 'security-contact')).toMatchObject({
    severity: 'high',
    detail: expect.stringContaining('nobody active is in it: what nobody else answers for comes to it'),
    action: 'Put somebody in it who is there, or have rules ask another: rekey team change --add, rekey approval rule set',
  })
  const [guard, one, two] = [await person(), await person(), await person()]
  const contact = await securityContact(engine.db.store)
  await inTx((tx) => addTeamMembers(tx, engine.ctx, contact.id, { identities: [guard.id] }))
  expect(await found('empty_team', 'security-contact')).toBeUndefined()
  const name = `crew ${newId()}`
  const crew = await inTx((tx) => putTeam(tx, engine.ctx, { name }))
  expect(await found('empty_team', name), 'nothing waits for it').toBeUndefined()
  await inTx((tx) => addTeamMembers(tx, engine.ctx, crew, { identities: [one.id] }))
  const about = { action: 'identity:offboard', factors: [{ team: crew, count: 1 }], expiresSeconds: 3_600, reason: 'two pairs of eyes' }
  await putRule(engine.db.store, engine.ctx, allowed(engine.ctx, 'approval:configure'), principal(), about)
  const fields = { name: `workload-${++serial}`, kind: 'workload', purpose: 'tests', environment: 'test', source: 'api' } as const
  await inTx((tx) => joinIdentity(tx, engine.ctx, { ...fields, owner: { kind: 'team', id: crew } }))
  expect(await found('empty_team', name)).toBeUndefined()
  await inTx((tx) => suspendIdentity(tx, engine.ctx, one.id, 'away'))
  expect(await found('empty_team', name)).toMatchObject({
    detail: 'nobody active is in it: it owns 1 identity; its approval is asked for identity:offboard',
    owner: { name: 'security-contact' },
  })
  // People of a nested team are people of it.
  const nested = await inTx((tx) => putTeam(tx, engine.ctx, { name: `nested ${newId()}` }))
  await inTx((tx) => addTeamMembers(tx, engine.ctx, nested, { identities: [two.id] }))
  await inTx((tx) => addTeamMembers(tx, engine.ctx, crew, { identities: [], teams: [nested] }))
  expect(await found('empty_team', name)).toBeUndefined()
  await engine.db.store.query('delete from approval_rule')
  await inTx((tx) => setTeamMembers(tx, engine.ctx, contact.id, { identities: [], teams: [] }))
})

test('every kind can be asked for alone, and a page of it holds nothing else', async () => {
  const may = allowed(engine.ctx, 'finding:read')
  for (const kind of FINDING_KINDS) {
    const { items } = await listFindings(engine.db.store, may, { kind, limit: 500 })
    expect(new Set(items.map((each) => each.kind)).size, kind).toBeLessThanOrEqual(1)
    expect(items.every((each) => each.kind === kind)).toBe(true)
  }
})

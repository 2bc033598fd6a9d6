/** Consumers that the fleet file says are somebody's. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { idsByName, moveIdentity, offboardIdentity, suspendIdentity } from '../identity/index.ts'
import { makeCtx, type RekeyError, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { giveUpItem } from './closure.actions.ts'
import { takeChanges } from './closure.changes.ts'
import { type Applied, type ApplyInput, applyInventory, diffInventory } from './inventory.actions.ts'
import { findCredential, listConsumers } from './inventory.list.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'whose')
const folder = '/srv/fleet'
let engine: Engine
beforeEach(async () => {
  engine = await Engine.start({ worker: false })
})
afterEach(() => engine.stop())

type Draft = Readonly<Record<string, readonly object[]>>
const written = (draft: Draft, indent = 0) => JSON.stringify({ version: 1, ...draft }, null, indent)
const diff = (text: string) => diffInventory(engine.parts, ctx, allowed(ctx, 'inventory:read'), { text, folder })

async function applyText(text: string, more: Partial<ApplyInput> = {}): Promise<Applied> {
  const { digest, needed } = await diff(text)
  const secrets = new Map(needed.map((one) => [one.for, Secret.fromText(`value of ${one.for}`)]))
  const input = { text, folder, digest, prune: false, secrets, authorities: new Map<string, string>(), ...more }
  return applyInventory(engine.parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), input)
}
const apply = (draft: Draft, more: Partial<ApplyInput> = {}) => applyText(written(draft), more)

async function faults(doing: Promise<unknown>): Promise<RekeyError['faults']> {
  return doing.then(
    () => expect.unreachable('it was not refused'),
    (error: RekeyError) => error.faults,
  )
}
const lined = (draft: Draft, more: Partial<ApplyInput> = {}) => faults(apply(draft, more))

const ROOT = { account: 'rekey_root', secret: { prompt: true } }
const identity = (name: string, kind: string) => ({ name, kind, owner: 'team', purpose: 'serves', environment: 'prod' })
const CREDENTIAL = { name: 'api@db', identity: 'api', system: 'db', account: 'api', strategy: 'in-place', current: { prompt: true } }

/** A consumer of api@db that the file says is somebody's. */
const consumedBy = (whose: string | null, more: object = {}): Draft => {
  const of = whose === null ? {} : { identity: whose }
  const consumers = [{ name: 'laptop', ...of, file: { path: './laptop.env' }, activation: 'none' }]
  return {
    systems: [{ name: 'db', connector: 'postgres', address: { host: '127.0.0.1', tls: 'off' }, root: ROOT }],
    identities: [identity('api', 'workload'), identity('ada', 'human'), identity('bob', 'human')],
    credentials: [{ ...CREDENTIAL, consumers, ...more }],
  }
}

test('whose a consumer is: stored by id, shown, and told by name or by the file', async () => {
  await apply(consumedBy('ada'))
  const id = (await findCredential(engine.db.store, 'api@db'))?.id ?? ''
  const shown = async () => (await listConsumers(engine.db.store, id)).map(({ name, identity, identityBy }) => [name, identity, identityBy])
  expect(await shown()).toEqual([['laptop', 'ada', 'file']])
  expect((await diff(written(consumedBy('ada')))).changes).toEqual([])
  expect((await diff(written(consumedBy('bob')))).changes).toMatchObject([
    { kind: 'change', of: 'consumer', name: 'laptop', fields: [{ field: 'identity', before: 'ada', after: 'bob' }] },
  ])
  // A new name does not lose it, and the file says it with the new name from then on.
  const ada = (await idsByName(engine.db.store, ['ada'])).get('ada') ?? ''
  await engine.db.store.inTx((tx) => moveIdentity(tx, ctx, ada, { name: 'ada-lovelace' }))
  expect(await shown()).toEqual([['laptop', 'ada-lovelace', 'file']])
  const [row] = await engine.db.store.query('select identity_id from consumer')
  expect(row).toEqual({ identity_id: ada })
  // Taken away again, the name decides.
  await apply(consumedBy(null))
  expect(await shown()).toEqual([['laptop', null, null]])
  const named = [
    { name: 'bob', activation: 'none' },
    { name: 'api-1', activation: 'none' },
  ]
  await apply(consumedBy(null, { consumers: named }))
  expect(await shown()).toEqual([
    ['api-1', 'api', 'name'],
    ['bob', 'bob', 'name'],
    ['laptop', null, null],
  ])
})

test('a consumer is not given to who is suspended or has left, nor taken from them before the closure knows of it', async () => {
  await apply(consumedBy('ada'))
  const ada = (await idsByName(engine.db.store, ['ada'])).get('ada') ?? ''
  const move = (how: typeof suspendIdentity) => engine.db.store.inTx((tx) => how(tx, ctx, ada, 'gives notice'))
  await move(suspendIdentity)
  const why = (status: string) =>
    `consumer laptop of api@db: ada, whose it is, is ${status} and knows the value. Resume or offboard the identity first.`
  expect(await lined(consumedBy('bob'))).toMatchObject([{ message: why('suspended') }])
  expect(await lined(consumedBy(null, { consumers: [] }), { prune: true })).toMatchObject([{ message: why('suspended') }])
  // Without --prune it stays, and what does not concern whose it is may change.
  expect((await apply(consumedBy(null, { consumers: [] }))).applied).toMatchObject({ change: 0, removed: 0 })
  expect((await apply(consumedBy('ada', { rotate: { every: '10d' } }))).applied).toMatchObject({ change: 1 })
  const two = (whose: string) => [
    { name: 'laptop', identity: 'ada', file: { path: './laptop.env' }, activation: 'none' },
    { name: 'phone', identity: whose, activation: 'none' },
  ]
  expect(await lined(consumedBy(null, { consumers: two('ada') }))).toMatchObject([
    { message: 'consumer phone of api@db: its identity ada is suspended.' },
  ])
  await move(offboardIdentity)
  expect(await lined(consumedBy('bob'))).toMatchObject([{ message: why('offboarded') }])
  await takeChanges({ ...engine.parts, destroyAfterSeconds: 0, stops: [] }, ctx)
  expect((await apply(consumedBy('bob', { rotate: { every: '10d' } }))).applied).toMatchObject({ change: 1 })
  expect(await lined(consumedBy('ada'))).toMatchObject([{ message: 'consumer laptop of api@db: its identity ada is offboarded.' }])
})

test('a fault about whose a consumer is has the line where the file says it', async () => {
  await apply(consumedBy('bob'))
  const ada = (await idsByName(engine.db.store, ['ada'])).get('ada') ?? ''
  await engine.db.store.inTx((tx) => offboardIdentity(tx, ctx, ada, 'left'))
  const text = written(consumedBy('ada'), 1)
  const line = text.split('\n').findIndex((each) => each.includes('"identity": "ada"')) + 1
  expect(await faults(applyText(text))).toEqual([
    { path: 'laptop', line, message: 'consumer laptop of api@db: its identity ada is offboarded.' },
  ])
})

test('an identity that is pruned may give its consumers to another in the same file', async () => {
  await apply(consumedBy('ada'))
  const wanted = { ...consumedBy('bob'), identities: [identity('api', 'workload'), identity('bob', 'human')] }
  expect((await apply(wanted, { prune: true })).applied).toMatchObject({ change: 1, removed: 1 })
  const [row] = await engine.db.store.query<{ identity_id: string }>('select identity_id from consumer')
  expect(row?.identity_id).toBe((await idsByName(engine.db.store, ['bob'])).get('bob'))
})

test('what keeps a credential with who has left: its closure, a human, a value that they know or that nobody can revoke', async () => {
  await apply(consumedBy('bob', { identity: 'ada' }))
  const ada = (await idsByName(engine.db.store, ['ada'])).get('ada') ?? ''
  const wanted = consumedBy('bob', { identity: 'api' })
  const kept = (why: string) => [{ message: `credential api@db: ada, which has it, has left, and ${why}.` }]
  await engine.db.store.inTx((tx) => offboardIdentity(tx, ctx, ada, 'left'))
  const ends = 'its value ends, or is replaced for others who use it, with ada. Wait for that: '
  expect(await lined(wanted)).toMatchObject(kept(`${ends}rekey closure list`))
  await takeChanges({ ...engine.parts, destroyAfterSeconds: 0, stops: [] }, ctx)
  const [item] = await engine.db.store.query<{ closure_id: string }>("select closure_id from closure_item where way = 'rotate'")
  const closure = item?.closure_id ?? ''
  expect(await lined(wanted)).toMatchObject(kept(`${ends}rekey closure show ${closure}`))
  await engine.db.store.query("update closure_item set state = 'handed_over', blocked_from = 'planned', blocked_at = now()")
  expect(await lined(wanted)).toMatchObject(kept(`a human has it in the closure of ada. End that first: rekey closure show ${closure}`))
  // Ended without a rotation that left the leaver out.
  await engine.db.store.query("update closure_item set ended_at = now(), state = 'rotated'")
  expect(await lined(wanted)).toMatchObject(kept('ada knows its value. Replace it first: rekey rotation start api@db'))
  await engine.db.store.query("update closure_item set ended_at = null, state = 'handed_over'")
  const word = { credential: 'api@db', reason: 'the vendor is gone' }
  await giveUpItem(engine.parts, ctx, allowed(ctx, 'closure:resolve'), closure, word)
  const gone = 'nobody could revoke the value that ada knows. Once its account is gone, take it out with --prune'
  expect(await lined(wanted)).toMatchObject(kept(gone))
})

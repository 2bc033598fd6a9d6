import { calculateJwkThumbprint, SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { labKey } from '../../test/lab/issuer.ts'
import { at, claims, ctx, db, HERE, join, lab, map, setUp, show, trust, usual, why } from '../../test/lab/proofs.ts'
import { newId, Secret } from '../kernel/index.ts'
import { Policies } from '../policy/index.ts'
import { defaultPolicies } from '../policy/set.ts'
import { allowed, principal } from '../policy/testing.ts'
import { sha256Hex } from '../seal/index.ts'
import { bindRole, offboardIdentity, suspendIdentity } from './index.ts'
import type { Presented } from './workload.dpop.ts'

setUp()

/** An agent that ada may send, for two actions in one environment. */
async function agentRules(): Promise<{ readonly bot: string; readonly ada: string }> {
  const [bot, ada] = [await join('bot', 'agent'), await join('ada', 'human')]
  await trust({ replay: 'age' })
  await map({ identity: 'ada', claims: { sub: 'ada@acme' } })
  await map({ identity: 'bot', part: 'actor', claims: { sub: 'bot-7' }, scope: ['rotation:start', 'status:read'], environments: ['test'] })
  return { bot, ada }
}
const forAda = (act: unknown, more: Record<string, unknown> = {}) => lab.sign(claims({ sub: 'ada@acme', act, ...more }))
const bind = (role: string, subject: string) =>
  bindRole(db.store, ctx, allowed(ctx, 'role:bind'), principal({ roles: ['bootstrap-admin'] }), new Policies(defaultPolicies()), {
    role,
    kind: 'identity',
    subject,
    reason: 'tests',
    force: false,
  })

test('an agent acts for a person, within its own limits and never beyond what that person may do', async () => {
  const { bot, ada } = await agentRules()
  const policies = new Policies(defaultPolicies())
  const decide = async (environment = 'test') => {
    const asked = await show(await forAda({ sub: 'bot-7' }))
    if (asked === null) throw new Error('nobody')
    return policies.explain(ctx, asked, 'rotation:start', { type: 'credential', id: 'c', environment })
  }
  expect(await show(await forAda({ sub: 'bot-7' }))).toMatchObject({
    id: bot,
    kind: 'agent',
    actsFor: { identity: ada },
    scope: ['rotation:start', 'status:read'],
    environments: ['test'],
  })
  expect(await decide()).toMatchObject({ allowed: false })
  await bind('operator', bot)
  // The agent has the role, whom it acts for has not.
  expect(await decide()).toMatchObject({ allowed: false, reason: 'unpermitted', stepUp: null })
  await bind('operator', ada)
  expect(await decide()).toMatchObject({ allowed: true })
  expect(await decide('prod')).toMatchObject({ allowed: false, reason: 'environment' })
  const asked = await show(await forAda({ sub: 'bot-7' }))
  expect(asked && policies.explain(ctx, asked, 'rotation:read')).toMatchObject({ allowed: false, reason: 'scope' })
})

test('an agent is nobody as soon as it, or whom it acts for, is not active', async () => {
  const { bot, ada } = await agentRules()
  const text = await forAda({ sub: 'bot-7' })
  expect(await show(text)).not.toBeNull()
  for (const id of [bot, ada]) {
    await db.store.inTx((tx) => suspendIdentity(tx, ctx, id, 'tests'))
    expect(await show(text)).toBeNull()
    await db.store.query("update identity set status = 'active'")
  }
  await db.store.inTx((tx) => offboardIdentity(tx, ctx, ada, 'tests'))
  expect(await show(text)).toBeNull()
})

test('actors that are malformed, unknown, too many or of another issuer are nobody; so is a person without an actor', async () => {
  await agentRules()
  const nest = (depth: number): Record<string, unknown> => ({ sub: depth === 0 ? 'bot-7' : 'x', ...(depth > 0 ? {} : {}) })
  const chain = (depth: number): Record<string, unknown> => {
    let inner: Record<string, unknown> | undefined
    for (let n = 1; n < depth; n++) inner = { sub: `earlier-${n}`, ...(inner && { act: inner }) }
    return { ...nest(0), ...(inner && { act: inner }) }
  }
  for (const depth of [1, 2, 4]) expect(await show(await forAda(chain(depth))), `${depth}`).not.toBeNull()
  const bad: unknown[] = [
    chain(5),
    null,
    'bot-7',
    ['bot-7'],
    {},
    { sub: 7 },
    { sub: 'bot-8' },
    { sub: 'bot-7', act: 'x' },
    { sub: 'bot-7', act: {} },
  ]
  for (const act of bad) expect(await show(await forAda(act)), JSON.stringify(act)).toBeNull()
  // The outermost actor acts; that the right one was there before is history.
  expect(await show(await forAda({ sub: 'evil', act: { sub: 'bot-7' } }))).toBeNull()
  expect(await show(await forAda({ sub: 'bot-7', iss: 'https://other.example' }))).toBeNull()
  expect(await show(await forAda({ sub: 'bot-7', iss: lab.url }))).not.toBeNull()
  expect(await show(await forAda(undefined))).toBeNull()
  expect(why().at(-1)).toBe('a person')
})

test('an agent whose tokens do not say for whom acts for whom its rule names', async () => {
  await join('ada', 'human')
  const bot = await join('bot', 'agent')
  await trust({ replay: 'age' })
  await map({ identity: 'bot', claims: { sub: 'bot-7' }, actsFor: 'ada', scope: ['status:read'], environments: ['test'] })
  expect(await show(await lab.sign(claims({ sub: 'bot-7' })))).toMatchObject({ id: bot, kind: 'agent', within: { name: 'ada', aal: 3 } })
})

/** A token that is bound to a key, and what proves the key. */
async function boundToken() {
  const key = await labKey('ES256')
  const { kid: _kid, use: _use, ...jwk } = key.publicJwk
  const text = await lab.sign(claims({ cnf: { jkt: await calculateJwkThumbprint(jwk) }, jti: newId() }))
  const ath = Buffer.from(sha256Hex(Secret.fromText(text)), 'hex').toString('base64url')
  const prove = (body: Record<string, unknown> = {}, header: Record<string, unknown> = {}, by = key) =>
    new SignJWT({ htm: 'GET', htu: `${HERE}/v1/x`, iat: at(), jti: newId(), ath, ...body })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header })
      .sign(by.privateKey)
  return { text, prove, jwk }
}

test('a token that is bound to a key counts with a proof of that key, for this request, once', async () => {
  const id = await usual({ replay: 'jti' })
  const { text, prove, jwk } = await boundToken()
  const dpop = (proof: string | null, more: Partial<Presented> = {}) => show(text, { scheme: 'dpop', proof, ...more })
  expect(await dpop(await prove())).toMatchObject({ id, attestation: 'bound' })
  // The token itself may be shown again: what counts once is the proof.
  const proof = await prove()
  const shown = await Promise.all(Array.from({ length: 4 }, () => dpop(proof)))
  expect(shown.filter((one) => one !== null)).toHaveLength(1)
  const other = await labKey('ES256')
  const { d: _d, ...otherJwk } = { d: '', ...other.publicJwk }
  const bad: readonly [string, Promise<string> | null, Partial<Presented>?][] = [
    ['no proof', null],
    ['as a bearer token', prove(), { scheme: 'bearer' }],
    ['another method', prove({ htm: 'POST' })],
    ['another path', prove({ htu: `${HERE}/v1/y` })],
    ['another host', prove({ htu: 'http://evil.example/v1/x' })],
    ['another port', prove({ htu: 'http://127.0.0.1:1/v1/x' })],
    ['a server that does not know its address', prove(), { origins: [] }],
    ['another token', prove({ ath: Buffer.alloc(32).toString('base64url') })],
    ['no hash of the token', prove({ ath: undefined })],
    ['too old', prove({ iat: at() - 61 })],
    ['too new', prove({ iat: at() + 70 })],
    ['no time', prove({ iat: undefined })],
    ['no id', prove({ jti: undefined })],
    ['a huge id', prove({ jti: 'x'.repeat(300) })],
    ['another type', prove({}, { typ: 'JWT' })],
    ['another key', prove({}, { jwk: otherJwk }, other)],
    ['another key that claims to be the right one', prove({}, {}, other)],
    ['a private key in the header', prove({}, { jwk: { ...jwk, d: 'AA' } })],
    ['no key', prove({}, { jwk: undefined })],
    ['another header', prove({}, { jku: 'http://127.0.0.1:1/' })],
  ]
  for (const [what, made, more] of bad) expect(await dpop(made === null ? null : await made, more), what).toBeNull()
  const unbound = await lab.sign(claims({ jti: newId() }))
  expect(await show(unbound, { scheme: 'dpop', proof: await prove() })).toBeNull()
})

test('only a rule that says so makes a bound token one of hardware', async () => {
  await join('orders-api', 'workload')
  await trust({ replay: 'age' })
  await map({ hardware: true })
  const { text, prove } = await boundToken()
  expect(await show(text, { scheme: 'dpop', proof: await prove() })).toMatchObject({ attestation: 'hardware', aal: 0 })
  expect(await show(await lab.sign(claims()))).toMatchObject({ attestation: 'token' })
})

import type { webcrypto } from 'node:crypto'
import fc from 'fast-check'
import { calculateJwkThumbprint, exportSPKI, importJWK, SignJWT, UnsecuredJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { ciClaims, kubernetesClaims, LabIssuer, labKey, startProvider, svidClaims } from '../../test/lab/issuer.ts'
import { AddressGuard, isCode, type Log, makeCtx, newId, Secret } from '../kernel/index.ts'
import { Policies, type Principal } from '../policy/index.ts'
import { defaultPolicies } from '../policy/set.ts'
import { allowed, principal } from '../policy/testing.ts'
import { sha256Hex } from '../seal/index.ts'
import { authenticateBearer } from './bearer.ts'
import {
  addIssuer,
  bindRole,
  type IssuerInput,
  mapIssuer,
  offboardIdentity,
  putIdentities,
  type RuleInput,
  removeIssuer,
  suspendIdentity,
  TokenUses,
  unmapIssuer,
  weakRules,
} from './index.ts'
import { IssuerKeys } from './issuer.keys.ts'
import type { Presented } from './workload.dpop.ts'
import { strictObject } from './workload.json.ts'

const AUDIENCE = 'https://rekey.example'
const HERE = 'http://127.0.0.1:7395'
let db: TestDatabase
let lab: LabIssuer
let keys: IssuerKeys
let uses: TokenUses
let aheadMs: number
let logged: string[]
/** A clock that a test can put forward. */
const clock = { now: () => new Date(Date.now() + aheadMs), monotonicMs: () => performance.now() + aheadMs }
const write = (fields: Record<string, unknown>, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
const log: Log = { info: write, warn: write, error: write }
const ctx = makeCtx('test', 'workload', { clock, log })
const may = allowed(ctx, 'issuer:configure')
const at = () => Math.floor(clock.now().getTime() / 1000)

beforeEach(async () => {
  aheadMs = 0
  logged = []
  db = await freshDatabase()
  lab = await LabIssuer.start()
  keys = new IssuerKeys(new AddressGuard())
  uses = new TokenUses(db.store, ctx)
})
afterEach(async () => {
  await uses.close()
  await lab.stop()
  await db.drop()
})

const show = (text: string, more: Partial<Presented> = {}): Promise<Principal | null> => {
  const presented: Presented = {
    token: Secret.fromText(text),
    scheme: 'bearer',
    proof: null,
    method: 'GET',
    path: '/v1/x',
    origins: [HERE],
    ...more,
  }
  return authenticateBearer({ store: db.store, keys, uses }, ctx, presented)
}
const trust = (input: Partial<IssuerInput> = {}) =>
  addIssuer(db.store, ctx, may, { name: 'ci', type: 'oidc', origin: lab.url, audience: AUDIENCE, keys: { from: 'discovery' }, ...input })
const map = (input: Partial<RuleInput>) =>
  mapIssuer(db.store, ctx, may, {
    issuer: 'ci',
    identity: 'orders-api',
    part: 'subject',
    claims: { sub: 'orders' },
    prefixes: {},
    scope: null,
    environments: null,
    actsFor: null,
    hardware: false,
    ...input,
  })
const join = async (name: string, kind: 'human' | 'workload' | 'machine' | 'agent') => {
  const fields = { name, kind, owner: 'team', purpose: 'tests', environment: 'test' }
  return (await db.store.inTx((tx) => putIdentities(tx, ctx, [fields]))).get(name) ?? ''
}
const claims = (more: Record<string, unknown> = {}) => ({ iss: lab.url, sub: 'orders', aud: AUDIENCE, iat: at(), exp: at() + 300, ...more })
const why = () => logged.filter((line) => line.includes('refused')).map((line) => /"why":"([^"]*)"/.exec(line)?.[1])

/** The usual: one workload, one rule for its `sub`. */
async function usual(input: Partial<IssuerInput> = {}): Promise<string> {
  const id = await join('orders-api', 'workload')
  await trust({ replay: 'age', ...input })
  await map({})
  return id
}

test('a signed token of a trusted issuer is the workload that its rule names, with the roles of its identity and nothing more', async () => {
  const id = await usual()
  expect(await show(await lab.sign(claims()))).toMatchObject({
    id,
    kind: 'workload',
    identity: id,
    roles: [],
    attestation: 'token',
    scope: null,
    aal: 0,
  })
  const set = defaultPolicies()
  await bindRole(db.store, ctx, allowed(ctx, 'role:bind'), principal(), set, {
    role: 'operator',
    kind: 'identity',
    subject: id,
    reason: 'tests',
    force: false,
  })
  expect(await show(await lab.sign(claims()))).toMatchObject({ roles: ['operator'] })
  expect(lab.asked).toEqual({ discovery: 1, jwks: 1, elsewhere: 0 })
})

test('a rule limits what its tokens may do', async () => {
  await join('orders-api', 'workload')
  await trust()
  await map({ scope: ['rotation:start'], environments: ['prod'] })
  expect(await show(await lab.sign(claims()))).toMatchObject({ scope: ['rotation:start'], environments: ['prod'] })
})

test('Kubernetes: namespace and service account by name and uid; another uid is another account', async () => {
  const id = await join('orders-api', 'workload')
  await trust({ type: 'kubernetes' })
  const uid = '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798'
  await map({
    claims: {
      '/kubernetes.io/namespace': 'orders',
      '/kubernetes.io/serviceaccount/name': 'orders-api',
      '/kubernetes.io/serviceaccount/uid': uid,
    },
  })
  const token = kubernetesClaims(lab.url, AUDIENCE, at())
  const text = await lab.sign(token, { typ: undefined })
  expect(await show(text)).toMatchObject({ id })
  // A pod shows the same token for an hour.
  expect(await show(text)).toMatchObject({ id })
  const inner = token['kubernetes.io'] as Record<string, unknown>
  const other = { ...token, 'kubernetes.io': { ...inner, serviceaccount: { name: 'orders-api', uid: newId() } } }
  expect(await show(await lab.sign(other))).toBeNull()
})

test('CI: repository and environment; a fork, another branch or workflow is somebody else', async () => {
  const id = await join('orders-api', 'workload')
  await trust({ type: 'ci' })
  const exact = {
    repository: 'acme/shop',
    ref: 'refs/heads/main',
    workflow: 'deploy',
    environment: 'prod',
    job_workflow_ref: 'acme/automation/.github/workflows/deploy.yml@refs/heads/main',
  }
  await map({ claims: exact })
  const token = () => ciClaims(lab.url, AUDIENCE, at())
  expect(await show(await lab.sign(token()))).toMatchObject({ id })
  const changes = { repository: 'evil/shop', ref: 'refs/pull/1/merge', workflow: 'test', environment: 'Prod', job_workflow_ref: 'x' }
  for (const [claim, value] of Object.entries(changes)) {
    expect(await show(await lab.sign({ ...token(), [claim]: value })), claim).toBeNull()
    expect(await show(await lab.sign({ ...token(), [claim]: [exact[claim as keyof typeof exact]] })), claim).toBeNull()
    expect(await show(await lab.sign({ ...token(), [claim]: undefined })), claim).toBeNull()
  }
})

const RS256_AS_HMAC = async () => {
  const [key] = lab.keys
  const pem = await exportSPKI((await importJWK(key?.publicJwk ?? {}, 'RS256')) as webcrypto.CryptoKey)
  return new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: key?.kid ?? '' }).sign(new TextEncoder().encode(pem))
}
const own = async (header: Record<string, unknown>) => {
  const evil = await labKey('RS256', lab.keys[0]?.kid)
  return lab.sign(claims(), { ...header, ...('jwk' in header ? { jwk: evil.publicJwk } : {}) }, evil)
}
/** Payload as text, signed as it stands. */
const rawly = async (payload: string, header = '{"alg":"RS256","kid":"KID"}') => {
  const [key] = lab.keys
  const head = header.replace('KID', key?.kid ?? '')
  const input = `${Buffer.from(head).toString('base64url')}.${Buffer.from(payload).toString('base64url')}`
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key?.privateKey as webcrypto.CryptoKey, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

const FORGED: readonly [string, () => Promise<string> | string][] = [
  ['no signature (alg none)', () => new UnsecuredJWT(claims()).encode()],
  [
    'alg none with a signature',
    async () => (await lab.sign(claims())).replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url')),
  ],
  ['the public key as a key of HMAC', RS256_AS_HMAC],
  ['a key of somebody else under the known key id', () => own({})],
  ['its own key in the header', () => own({ jwk: true })],
  ['an address of keys in the header', () => own({ jku: 'http://127.0.0.1:1/jwks' })],
  ['an address of a certificate in the header', () => own({ x5u: 'http://127.0.0.1:1/x' })],
  ['a good signature, and its own key in the header', () => lab.sign(claims(), { jwk: lab.keys[0]?.publicJwk })],
  ['a good signature, and an address of keys in the header', () => lab.sign(claims(), { jku: `${lab.url}/jwks` })],
  ['an extension that must be understood', () => rawly(JSON.stringify(claims()), '{"alg":"RS256","kid":"KID","crit":["x"],"x":1}')],
  ['crit that is empty', () => rawly(JSON.stringify(claims()), '{"alg":"RS256","kid":"KID","crit":[]}')],
  [
    'an algorithm that is not allowed',
    async () => {
      lab.keys.push(await labKey('ES384'))
      return lab.sign(claims(), {}, lab.keys[1])
    },
  ],
  ['a key id that is a path', () => lab.sign(claims(), { kid: '../../../../dev/null' })],
  ['a key id that is SQL', () => lab.sign(claims(), { kid: "x' union select 'a'; --" })],
  ['a key id that is no text', () => rawly(JSON.stringify(claims()), '{"alg":"RS256","kid":7}')],
  ['sub twice', () => rawly(`{"sub":"eve",${JSON.stringify(claims()).slice(1)}`)],
  ['sub twice, once escaped', () => rawly(`{"s\\u0075b":"eve",${JSON.stringify(claims()).slice(1)}`)],
  ['alg twice', () => rawly(JSON.stringify(claims()), '{"alg":"none","alg":"RS256","kid":"KID"}')],
  ['a payload that is a list', () => rawly('[]')],
  ['a payload that is no JSON', () => rawly('{')],
  [
    'a payload that is no UTF-8',
    async () => (await rawly('{"a":"b"}')).replace(/\.[^.]+\./, `.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.`),
  ],
  ['a huge token', () => lab.sign(claims({ pad: 'x'.repeat(9_000) }))],
  ['five parts', async () => `${await lab.sign(claims())}.a.b`],
  ['another serialization', async () => JSON.stringify({ payload: (await lab.sign(claims())).split('.')[1], signatures: [] })],
  [
    'a changed payload',
    async () =>
      (await lab.sign(claims())).replace(/\.[^.]+\./, `.${Buffer.from(JSON.stringify(claims({ sub: 'x' }))).toString('base64url')}.`),
  ],
  ['another issuer', () => lab.sign(claims({ iss: `${lab.url}/` }))],
  ['no issuer', () => lab.sign(claims({ iss: undefined }))],
  ['another audience', () => lab.sign(claims({ aud: 'https://other.example' }))],
  ['an audience that begins like ours', () => lab.sign(claims({ aud: `${AUDIENCE}.evil.example` }))],
  ['no audience', () => lab.sign(claims({ aud: undefined }))],
  ['an end that has come', () => lab.sign(claims({ iat: at() - 200, exp: at() - 40 }))],
  ['no end', () => lab.sign(claims({ exp: undefined }))],
  ['an end that is a text', () => rawly(JSON.stringify({ ...claims(), exp: '9999999999' }))],
  ['not yet', () => lab.sign(claims({ nbf: at() + 60 }))],
  ['made in the future', () => lab.sign(claims({ iat: at() + 60 }))],
  ['too old, though not at its end', () => lab.sign(claims({ iat: at() - 700, exp: at() + 9_999 }))],
  ['no time of making', () => lab.sign(claims({ iat: undefined }))],
  ['no sub', () => lab.sign(claims({ sub: undefined }))],
  ['another sub', () => lab.sign(claims({ sub: 'Orders' }))],
  ['a sub that begins so', () => lab.sign(claims({ sub: 'orders2' }))],
  ['a list as sub', () => lab.sign(claims({ sub: ['orders'] as unknown as string }))],
  ['a security event', () => lab.sign(claims(), { typ: 'secevent+jwt' })],
  ['a proof of possession', () => lab.sign(claims(), { typ: 'dpop+jwt' })],
  ['a logout token', () => lab.sign(claims(), { typ: 'logout+jwt' })],
  ['a token that is bound to a key, without proof', () => lab.sign(claims({ cnf: { jkt: 'abc' } }))],
  ['a token that is bound to a client certificate', () => lab.sign(claims({ cnf: { 'x5t#S256': 'abc' } }))],
  ['a binding that is no object', () => lab.sign(claims({ cnf: 'abc' }))],
]

test('what is forged, old, for others or malformed is nobody, and the token that it was made from is not', async () => {
  const id = await usual()
  for (const [what, make] of FORGED) expect(await show(await make()), what).toBeNull()
  for (const good of [lab.sign(claims()), rawly(JSON.stringify(claims()))]) expect(await show(await good)).toMatchObject({ id })
  expect(lab.asked.elsewhere).toBe(0)
  expect(logged.join()).not.toMatch(/eyJ|169\.254|union select/)
})

const SPIFFE_ID = 'spiffe://example.org/ns/orders/sa/api'
const SVIDS: readonly [string, Record<string, unknown>, Record<string, unknown>, boolean][] = [
  ['as SPIRE makes it', {}, {}, true],
  ['typ JOSE', {}, { typ: 'JOSE' }, true],
  ['no typ', {}, { typ: undefined }, true],
  ['no iat', { iat: undefined }, {}, true],
  ['an issuer of its own', { iss: 'https://spire.example' }, {}, true],
  ['typ in lower case', {}, { typ: 'jwt' }, false],
  ['typ at+jwt', {}, { typ: 'at+jwt' }, false],
  ['another header', {}, { cty: 'x' }, false],
  ['x5t in the header', {}, { x5t: 'x' }, false],
  ['no end', { exp: undefined }, {}, false],
  ['an end that has come', { exp: 1 }, {}, false],
  ['no iat and an end too far', { iat: undefined, exp: 9_999_999_999 }, {}, false],
  ['another audience', { aud: ['spiffe://example.org/other'] }, {}, false],
  ['no audience', { aud: undefined }, {}, false],
  ['no sub', { sub: undefined }, {}, false],
  ['a sub of another trust domain', { sub: SPIFFE_ID.replace('example.org', 'evil.org') }, {}, false],
  ['a trust domain that ends so', { sub: SPIFFE_ID.replace('example', 'evil.example') }, {}, false],
  ['no SPIFFE ID', { sub: 'https://example.org/ns/orders/sa/api' }, {}, false],
  ['a scheme in upper case', { sub: SPIFFE_ID.replace('spiffe', 'SPIFFE') }, {}, false],
  ['a trust domain in upper case', { sub: SPIFFE_ID.replace('example', 'Example') }, {}, false],
  ['a port', { sub: SPIFFE_ID.replace('.org', '.org:443') }, {}, false],
  ['a user', { sub: SPIFFE_ID.replace('//', '//me@') }, {}, false],
  ['a query', { sub: `${SPIFFE_ID}?x=1` }, {}, false],
  ['a fragment', { sub: `${SPIFFE_ID}#x` }, {}, false],
  ['a slash at the end', { sub: `${SPIFFE_ID}/` }, {}, false],
  ['an empty part', { sub: SPIFFE_ID.replace('/sa/', '//') }, {}, false],
  ['a part that goes up', { sub: 'spiffe://example.org/ns/orders/sa/x/../api' }, {}, false],
  ['percent-encoding', { sub: SPIFFE_ID.replace('api', '%61pi') }, {}, false],
  ['the trust domain alone', { sub: 'spiffe://example.org' }, {}, false],
  ['another workload', { sub: `${SPIFFE_ID}2` }, {}, false],
]

test('JWT-SVID: every rule, kept and broken', async () => {
  const id = await join('orders-api', 'workload')
  lab.keys = [await labKey('ES256', 'svid', 'jwt-svid'), await labKey('ES256', 'x509', 'x509-svid'), await labKey('ES256', 'none', null)]
  await trust({ type: 'spiffe', origin: 'example.org', keys: { from: 'url', url: `${lab.url}/bundle` } })
  await map({ claims: { sub: SPIFFE_ID } })
  for (const [what, changed, header, good] of SVIDS) {
    const text = await lab.sign({ ...svidClaims(AUDIENCE, at()), ...changed }, header)
    expect((await show(text))?.id ?? null, what).toBe(good ? id : null)
  }
  for (const key of lab.keys.slice(1)) expect(await show(await lab.sign(svidClaims(AUDIENCE, at()), {}, key)), key.kid).toBeNull()
  const eddsa = await labKey('EdDSA', 'ed', 'jwt-svid')
  expect(await show(await lab.sign(svidClaims(AUDIENCE, at()), {}, eddsa))).toBeNull()
})

test('a token counts once where it has an id and its issuer says so; without one where it must, not at all', async () => {
  const id = await usual({ replay: 'jti' })
  const text = await lab.sign(claims({ jti: 'one' }))
  const shown = await Promise.all(Array.from({ length: 5 }, () => show(text)))
  expect(shown.filter((one) => one?.id === id)).toHaveLength(1)
  expect(await show(await lab.sign(claims({ jti: 'one', exp: at() + 200 })))).toBeNull()
  expect(await show(await lab.sign(claims({ jti: 'two' })))).toMatchObject({ id })
  const without = await lab.sign(claims())
  for (let n = 0; n < 2; n++) expect(await show(without)).toMatchObject({ id })
  await removeIssuer(db.store, ctx, may, 'ci', 'tests')
  await trust({ replay: 'once' })
  await map({})
  expect(await show(await lab.sign(claims()))).toBeNull()
  for (const jti of ['', 7, 'x'.repeat(2_000)]) expect(await show(await lab.sign(claims({ jti: jti as string })))).toBeNull()
  expect(await show(await lab.sign(claims({ jti: 'one' })))).toMatchObject({ id })
})

test('a token that would not count otherwise is not used up by whoever shows it', async () => {
  const id = await usual({ replay: 'jti' })
  const text = await lab.sign(claims({ jti: 'one' }))
  expect(await show(`${text}x`)).toBeNull()
  await db.store.query("update identity set status = 'suspended' where id = $1", [id])
  expect(await show(text)).toBeNull()
  await db.store.query("update identity set status = 'active' where id = $1", [id])
  expect(await show(text)).toMatchObject({ id })
})

test('ids of tokens are kept until they could not be replayed anyway, and then no longer', async () => {
  await usual({ replay: 'jti' })
  expect(await show(await lab.sign(claims({ jti: 'one', exp: at() + 9_999_999 })))).not.toBeNull()
  aheadMs += 500_000
  expect(await show(await lab.sign(claims({ jti: 'two', iat: at() })))).not.toBeNull()
  expect(await db.store.query('select 1 from proof_seen')).toHaveLength(2)
  aheadMs += 2_000_000
  expect(await show(await lab.sign(claims({ jti: 'three' })))).not.toBeNull()
  expect(await db.store.query('select 1 from proof_seen')).toHaveLength(1)
})

test('no rule, two rules, a rule taken back, an issuer removed: nobody, from the next token on', async () => {
  const id = await usual()
  const text = await lab.sign(claims({ team: 'shop' }))
  expect(await show(text)).toMatchObject({ id })
  const second = await map({ claims: { sub: 'orders', team: 'shop' } })
  expect(await show(text)).toBeNull()
  expect(why().at(-1)).toBe('several rules for the subject')
  await unmapIssuer(db.store, ctx, may, 'ci', second)
  expect(await show(text)).toMatchObject({ id })
  await db.store.inTx((tx) => suspendIdentity(tx, ctx, id, 'tests'))
  expect(await show(text)).toBeNull()
  await db.store.query("update identity set status = 'active'")
  await removeIssuer(db.store, ctx, may, 'ci', 'tests')
  expect(await show(text)).toBeNull()
  expect(await db.store.query('select 1 from issuer_rule')).toEqual([])
})

test('a prefix is there only where it was asked for, ends at a border, and is told as a weakness', async () => {
  const id = await join('orders-api', 'workload')
  await trust({ type: 'ci', replay: 'age' })
  await map({ claims: {}, prefixes: { sub: 'repo:acme/shop:' } })
  expect(await show(await lab.sign(claims({ sub: 'repo:acme/shop:ref:refs/heads/main' })))).toMatchObject({ id })
  expect(await show(await lab.sign(claims({ sub: 'repo:acme/shop-evil:ref:refs/heads/main' })))).toBeNull()
  expect(await weakRules(db.store, { after: null, limit: 10 })).toMatchObject([
    { issuer: 'ci', weak: true, prefixes: { sub: 'repo:acme/shop:' } },
  ])
})

const BAD_RULES: readonly [string, Partial<RuleInput>][] = [
  ['no claim', { claims: {} }],
  ['neither sub nor enough', { claims: { environment: 'prod' } }],
  ['a repository alone', { claims: { repository: 'acme/shop' } }],
  ['an empty value', { claims: { sub: '' } }],
  ['an empty prefix', { claims: {}, prefixes: { sub: '' } }],
  ['a prefix in the middle of a name', { claims: {}, prefixes: { sub: 'repo:acme' } }],
  ['a prefix and a value', { claims: { sub: 'a:b' }, prefixes: { sub: 'a:' } }],
  ['an empty scope', { scope: [] }],
  ['an unknown action', { scope: ['everything:do'] }],
  ['no environment at all', { environments: [] }],
  ['an agent without limits', { identity: 'bot', actsFor: 'ada' }],
  ['an agent for an agent', { identity: 'bot', actsFor: 'bot', scope: ['rotation:start'], environments: ['prod'] }],
  ['a workload for somebody', { actsFor: 'ada' }],
  ['a workload as an actor', { part: 'actor' }],
  ['an unknown identity', { identity: 'nobody' }],
]

test('rules that say too little, or too much, are refused', async () => {
  await join('orders-api', 'workload')
  await join('ada', 'human')
  await join('bot', 'agent')
  await trust({ type: 'ci' })
  for (const [what, input] of BAD_RULES) {
    await expect(map(input), what).rejects.toSatisfy((error) => isCode(error, 'bad_input') || isCode(error, 'not_found'))
  }
  expect(await db.store.query('select 1 from issuer_rule')).toEqual([])
})

const BAD_ISSUERS: readonly [string, Partial<IssuerInput>][] = [
  ['http', { origin: 'http://issuer.example' }],
  ['no address', { origin: 'issuer.example' }],
  ['a user in the address', { origin: 'https://me@issuer.example' }],
  ['a query', { origin: 'https://issuer.example/?x' }],
  ['no audience', { audience: '' }],
  ['HMAC', { algorithms: ['HS256'] }],
  ['no signature', { algorithms: ['none'] }],
  ['no algorithm', { algorithms: [] }],
  ['keys over http', { keys: { from: 'url', url: 'http://issuer.example/jwks' } }],
  ['keys from a file', { keys: { from: 'url', url: 'file:///etc/passwd' } }],
  ['no keys', { keys: { from: 'inline', jwks: { keys: [] } } }],
  ['a secret key', { keys: { from: 'inline', jwks: { keys: [{ kty: 'oct', k: 'AA' }] } } }],
  ['a private key', { keys: { from: 'inline', jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA', d: 'AA' }] } } }],
  ['a trust domain with a scheme', { type: 'spiffe', origin: 'spiffe://example.org', keys: { from: 'url', url: 'https://x.example/b' } }],
  ['a trust domain by discovery', { type: 'spiffe', origin: 'example.org' }],
  [
    'EdDSA in a trust domain',
    { type: 'spiffe', origin: 'example.org', algorithms: ['EdDSA'], keys: { from: 'url', url: 'https://x.example/b' } },
  ],
]

test('issuers that could be anybody are refused', async () => {
  for (const [what, input] of BAD_ISSUERS) await expect(trust(input), what).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  expect(await db.store.query('select 1 from issuer')).toEqual([])
})

test('a new key is found at once, and many unknown ones cost one look', async () => {
  const id = await usual()
  await show(await lab.sign(claims()))
  expect(lab.asked.jwks).toBe(1)
  const next = await labKey()
  const strangers = await Promise.all(Array.from({ length: 20 }, () => lab.sign(claims(), { kid: newId() })))
  aheadMs += 16_000
  await Promise.all(strangers.map((text) => show(text)))
  expect(lab.asked.jwks).toBe(2)
  lab.keys = [next, ...lab.keys]
  // Too soon for another look: the stranger's was just there.
  expect(await show(await lab.sign(claims()))).toBeNull()
  aheadMs += 16_000
  const shown = await Promise.all(Array.from({ length: 5 }, async () => show(await lab.sign(claims()))))
  expect(shown.map((one) => one?.id)).toEqual(Array(5).fill(id))
  expect(lab.asked.jwks).toBe(3)
})

test('a key that was taken away is refused after the time of the issuer, also when it cannot be reached any more', async () => {
  await usual({ keysMaxAgeSeconds: 60 })
  const sign = (
    (key) => () =>
      lab.sign(claims(), {}, key)
  )(lab.keys[0])
  expect(await show(await sign())).not.toBeNull()
  lab.keys = [await labKey()]
  lab.mode = 'failing'
  aheadMs += 59_000
  expect(await show(await sign())).not.toBeNull()
  aheadMs += 1_000
  expect(await show(await sign())).toBeNull()
  lab.mode = 'good'
  aheadMs += 16_000
  expect(await show(await sign())).toBeNull()
  expect(await show(await lab.sign(claims()))).not.toBeNull()
})

test.each(['garbage', 'silent', 'trickle', 'huge', 'failing', 'redirect', 'metadata'] as const)(
  'an issuer that is %s lets nobody in, is asked no more than needed, and does again when it is well',
  async (mode) => {
    await usual()
    lab.mode = mode
    const startedMs = performance.now()
    const shown = await Promise.all(Array.from({ length: 5 }, async () => show(await lab.sign(claims()))))
    expect(shown).toEqual(Array(5).fill(null))
    expect(performance.now() - startedMs).toBeLessThan(9_000)
    expect([lab.asked.discovery, lab.asked.jwks]).toEqual([1, 0])
    expect(logged.some((line) => line.includes('could not be fetched'))).toBe(true)
    lab.mode = 'good'
    expect(await show(await lab.sign(claims()))).toBeNull()
    aheadMs += 16_000
    expect(await show(await lab.sign(claims()))).not.toBeNull()
  },
  20_000,
)

test('an issuer that is down altogether, or that is another than it says, lets nobody in', async () => {
  await join('orders-api', 'workload')
  const gone = await LabIssuer.start()
  await gone.stop()
  await trust({ name: 'gone', origin: gone.url })
  await map({ issuer: 'gone' })
  expect(await show(await lab.sign({ ...claims(), iss: gone.url }))).toBeNull()
  await trust({ name: 'other', origin: `${lab.url}/realm` })
  await map({ issuer: 'other' })
  expect(await show(await lab.sign({ ...claims(), iss: `${lab.url}/realm` }))).toBeNull()
  expect(logged.filter((line) => line.includes('could not be fetched'))).toHaveLength(2)
})

test('addresses that are refused are not connected to, however they are written', async () => {
  const { fetchObject } = await import('./issuer.fetch.ts')
  const guard = new AddressGuard(['127.0.0.0/8', '169.254.0.0/16', '::1/128'])
  for (const host of ['169.254.169.254', '[::ffff:169.254.169.254]', '2852039166', '127.0.0.1', 'localhost', '[::1]']) {
    const scheme = /^(127|localhost|\[::1)/.test(host) ? 'http' : 'https'
    await expect(fetchObject(guard, `${scheme}://${host}:1/`), host).rejects.toThrow('target_unsupported')
  }
  await expect(fetchObject(new AddressGuard(), 'http://issuer.example/')).rejects.toThrow('not https')
})

test('nothing is fetched for an issuer that nobody trusts', async () => {
  await usual()
  const stranger = await LabIssuer.start()
  expect(await show(await stranger.sign({ ...claims(), iss: stranger.url }))).toBeNull()
  expect(await show(await stranger.sign(svidClaims(AUDIENCE, at())))).toBeNull()
  expect([stranger.asked, lab.asked]).toEqual([
    { discovery: 0, jwks: 0, elsewhere: 0 },
    { discovery: 0, jwks: 0, elsewhere: 0 },
  ])
  await stranger.stop()
})

test('keys that are given with the issuer need nobody to be reached', async () => {
  const id = await usual({ keys: { from: 'inline', jwks: lab.jwks() as never } })
  await lab.stop()
  expect(await show(await lab.sign(claims()))).toMatchObject({ id })
  expect(await show(await lab.sign(claims(), {}, await labKey()))).toBeNull()
  lab = await LabIssuer.start()
})

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
  bindRole(db.store, ctx, allowed(ctx, 'role:bind'), principal(), defaultPolicies(), {
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

test('an OpenID provider as it is: a client of its own gets a token for us', async () => {
  const provider = await startProvider(AUDIENCE)
  try {
    const id = await join('orders-api', 'workload')
    await trust({ name: 'idp', origin: provider.url, replay: 'once' })
    await map({ issuer: 'idp', claims: { sub: 'orders-client', client_id: 'orders-client' } })
    const text = await provider.token()
    expect(await show(text)).toMatchObject({ id, kind: 'workload' })
    expect(await show(text)).toBeNull()
    expect(await show(await provider.token('https://other.example'))).toBeNull()
  } finally {
    await provider.stop()
  }
})

test('JSON: a name that comes twice is found wherever it stands, and nothing else is taken for one', () => {
  const escaped = (name: string) => [...name].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  const json = fc.jsonValue({ maxDepth: 4 })
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), json), (value) => {
      const text = JSON.stringify(value, null, 1)
      expect(strictObject(text)).toEqual(JSON.parse(text))
    }),
  )
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 5, unit: 'grapheme-ascii' }), json, json, fc.nat(3), (name, one, two, depth) => {
      const inner = `{"x":[1,{"y":${JSON.stringify(one)}}],${JSON.stringify(name)}:${JSON.stringify(one)},"${escaped(name)}":${JSON.stringify(two)}}`
      let text = inner
      for (let n = 0; n < depth; n++) text = n % 2 === 0 ? `{"a":${text}}` : `{"b":[${text}]}`
      expect(JSON.parse(text)).toBeTypeOf('object')
      expect(strictObject(text)).toBeNull()
    }),
  )
  for (const text of ['', '[]', 'null', '1', '"a"', '{', '{}x', `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`])
    expect(strictObject(text), text).toBeNull()
})

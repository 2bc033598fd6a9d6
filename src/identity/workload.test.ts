import type { webcrypto } from 'node:crypto'
import fc from 'fast-check'
import { exportSPKI, importJWK, SignJWT, UnsecuredJWT } from 'jose'
import { expect, test } from 'vitest'
import { ciClaims, kubernetesClaims, labKey, startProvider, svidClaims } from '../../test/lab/issuer.ts'
import { AUDIENCE, ahead, at, claims, ctx, db, join, lab, logged, map, may, setUp, show, trust, usual } from '../../test/lab/proofs.ts'
import { newId, Secret } from '../kernel/index.ts'
import { Policies } from '../policy/index.ts'
import { defaultPolicies } from '../policy/set.ts'
import { allowed, principal } from '../policy/testing.ts'
import { bindRole, removeIssuer } from './index.ts'
import { strictObject } from './workload.json.ts'

setUp()

test('a signed token of a trusted issuer is the workload that its rule names, with its roles', async () => {
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
  await bindRole(db.store, ctx, allowed(ctx, 'role:bind'), principal({ roles: ['bootstrap-admin'] }), new Policies(defaultPolicies()), {
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

test('with a secret of its own a command shows its token many times; nobody else does, nor it after the token ends', async () => {
  const id = await usual({ replay: 'jti' })
  const [mine, theirs] = [Secret.fromText('m'.repeat(43)), Secret.fromText('t'.repeat(43))]
  const text = await lab.sign(claims({ jti: 'one' }))
  const together = await Promise.all([mine, theirs, mine, theirs, mine].map((holder) => show(text, { holder })))
  const [first, other] = together[0] === null ? [theirs, mine] : [mine, theirs]
  expect(together.filter((one) => one?.id === id)).toHaveLength(first === mine ? 3 : 2)
  expect(await show(text, { holder: first })).toMatchObject({ id, attestation: 'token' })
  expect(await show(text, { holder: other })).toBeNull()
  expect(await show(text)).toBeNull()
  // One that was shown without a secret takes none later.
  const bare = await lab.sign(claims({ jti: 'two' }))
  expect(await show(bare)).toMatchObject({ id })
  expect(await show(bare, { holder: mine })).toBeNull()
  expect(JSON.stringify(await db.store.query('select encode(holder, $1) as holder from proof_seen', ['escape']))).not.toContain('mmm')
  await db.store.query("update identity set status = 'suspended' where id = $1", [id])
  expect(await show(text, { holder: first })).toBeNull()
  await db.store.query("update identity set status = 'active' where id = $1", [id])
  ahead(700_000)
  expect(await show(text, { holder: first })).toBeNull()
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
  ahead(500_000)
  expect(await show(await lab.sign(claims({ jti: 'two', iat: at() })))).not.toBeNull()
  expect(await db.store.query('select 1 from proof_seen')).toHaveLength(2)
  ahead(2_000_000)
  expect(await show(await lab.sign(claims({ jti: 'three' })))).not.toBeNull()
  expect(await db.store.query('select 1 from proof_seen')).toHaveLength(1)
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
      const [first, second] = [JSON.stringify(one), JSON.stringify(two)]
      const inner = `{"x":[1,{"y":${first}}],${JSON.stringify(name)}:${first},"${escaped(name)}":${second}}`
      let text = inner
      for (let n = 0; n < depth; n++) text = n % 2 === 0 ? `{"a":${text}}` : `{"b":[${text}]}`
      expect(JSON.parse(text)).toBeTypeOf('object')
      expect(strictObject(text)).toBeNull()
    }),
  )
  for (const text of ['', '[]', 'null', '1', '"a"', '{', '{}x', `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`])
    expect(strictObject(text), text).toBeNull()
})

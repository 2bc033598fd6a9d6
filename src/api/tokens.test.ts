import { calculateJwkThumbprint, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LabIssuer, labKey } from '../../test/lab/issuer.ts'
import { makeCtx, newId, Secret, sleep } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'
import { startServer } from './server.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeEach(async () => {
  server = await TestServer.start()
})
afterEach(async () => {
  expect(server.undeclared()).toEqual([])
  await server.stop()
})

const make = (more: object = {}) => server.post('/v1/tokens', { name: 'nightly', roles: ['operator'], reason: 'tests', ...more })
const get = (token: string, path = '/v1/status') => server.send('GET', path, { token })

test('a token is made, used within its limits, listed without its text, rotated and revoked', async () => {
  const made = await make({ scope: ['status:read', 'rotation:read'], expiresSeconds: 3_600 })
  expect([made.status, made.body.token]).toEqual([201, expect.stringMatching(/^rekey_[0-9A-Za-z]{49}$/)])
  expect((await get(made.body.token)).status).toBe(200)
  expect((await get(made.body.token, '/v1/identities')).body.code).toBe('forbidden')
  const listed = await server.get('/v1/tokens')
  expect(listed.body.items).toMatchObject([
    { name: 'admin' },
    { name: 'nightly', state: 'active', scope: ['rotation:read', 'status:read'] },
  ])
  expect(listed.text).not.toContain(made.body.token.slice(6))
  const next = await server.post('/v1/tokens/nightly/rotate', { overlapSeconds: 0 })
  expect([(await get(made.body.token)).status, (await get(next.body.token)).status]).toEqual([401, 200])
  expect((await server.post('/v1/tokens/nightly/revoke', { reason: 'tests' })).body).toEqual({ revoked: [next.body.id] })
  // The same bytes as a token that never was.
  const [revoked, ended, unknown] = [await get(next.body.token), await get(made.body.token), await get(`rekey_${'A'.repeat(43)}`)]
  expect([revoked.text, ended.text]).toEqual([unknown.text, unknown.text])
  expect((await server.get('/v1/tokens?ended=true')).body.items).toHaveLength(3)
  expect(server.lines.map((line) => JSON.stringify(line)).join()).not.toContain(next.body.token)
})

test('a token is revoked at every server from the next request on', async () => {
  const { token } = (await make()).body
  const other = await startServer(server.parts, { listen: { host: '127.0.0.1', port: 0 }, ctx: makeCtx('test', 'other') })
  const there = async () => (await fetch(`${other.url}/v1/status`, { headers: { authorization: `Bearer ${token}` } })).status
  try {
    expect(await there()).toBe(200)
    await server.post('/v1/tokens/nightly/revoke', { reason: 'tests' })
    expect(await there()).toBe(401)
  } finally {
    await other.close()
  }
})

test('an operator makes no token at all, and a token that may makes none that is wider than itself', async () => {
  const operator = (await make()).body.token
  const body = { name: 'x', roles: ['operator'], reason: 'tests' }
  expect((await server.send('POST', '/v1/tokens', { token: operator, body })).status).toBe(403)
  const security = (await make({ name: 'security', roles: ['security-admin'] })).body.token
  const refused = await server.send('POST', '/v1/tokens', { token: security, body })
  expect([refused.status, refused.body.code]).toEqual([403, 'forbidden'])
  expect((await server.send('POST', '/v1/tokens/admin/rotate', { token: security })).status).toBe(403)
  expect((await server.send('POST', '/v1/tokens', { token: security, body: { ...body, roles: ['security-admin'] } })).status).toBe(201)
})

test('a token that is not yours is told apart from none by nothing', async () => {
  const text = `@forced("a test of not yours and not there")
permit (principal in Role::"narrow", action, resource)
when { resource is Installation || (resource has environment && resource.environment == "test") };`
  const { id, digest } = (await server.post('/v1/policies', { files: [{ name: 'narrow.cedar', text }], reason: 'tests' })).body
  expect((await server.post(`/v1/policies/${id}/bypass`, { digest, reason: 'nobody else is here' })).status).toBe(200)
  const forced = { roles: ['narrow'], reason: 'tests of narrow rights', force: true }
  const narrow = (await make({ name: 'narrow', ...forced })).body.token
  const theirs = (await make({ name: 'theirs', environments: ['prod'] })).body
  const both = (await make({ name: 'both', environments: ['prod', 'test'] })).body
  const ours = (await make({ name: 'ours', environments: ['test'], ...forced })).body
  const ask = (verb: string, key: string) =>
    server.send('POST', `/v1/tokens/${key}/${verb}`, { token: narrow, body: verb === 'revoke' ? { reason: 'tests' } : {} })
  for (const verb of ['rotate', 'revoke']) {
    for (const key of [theirs.name, theirs.id, both.name, both.id]) {
      const none = key.includes('-') ? newId() : 'none'
      const [answer, absent] = [await ask(verb, key), await ask(verb, none)]
      expect([answer.status, answer.text]).toEqual([404, absent.text.replaceAll(none, key)])
    }
    expect((await ask(verb, ours.name)).status, verb).toBe(verb === 'revoke' ? 200 : 201)
  }
  // Still good: bounded to prod, it may not ask about the installation, which a token that has ended is not told.
  expect((await get(theirs.token)).status).toBe(403)
})

test('wrong tokens of any kind are held up by their address, and those that count are not', async () => {
  await server.stop()
  server = await TestServer.start({ requestsPerMinute: 20 })
  const { token } = (await make()).body
  expect((await get(token)).status).toBe(200)
  const wrong = await Promise.all(Array.from({ length: 30 }, (_, n) => get(n % 2 === 0 ? `rekey_${newId()}` : 'eyJ.eyJ.eyJ')))
  expect(new Set(wrong.map(({ status }) => status))).toEqual(new Set([401, 429]))
  expect((await get(token)).status).toBe(200)
})

async function trusted(): Promise<{ readonly lab: LabIssuer; claims(): Record<string, unknown> }> {
  const lab = await LabIssuer.start()
  const audience = 'https://rekey.example'
  await server.post('/v1/identities', { name: 'ada', kind: 'human' })
  await server.post('/v1/identities', { name: 'deploy', kind: 'workload', owner: 'ada', purpose: 'deploys', environment: 'prod' })
  const issuer = { name: 'ci', type: 'ci', origin: lab.url, audience, keys: { from: 'discovery' } }
  expect((await server.post('/v1/issuers', issuer)).status).toBe(201)
  const rule = { identity: 'deploy', claims: { repository: 'acme/shop', environment: 'prod' } }
  expect((await server.post('/v1/issuers/ci/rules', rule)).status).toBe(201)
  await server.post('/v1/role-bindings', { role: 'operator', kind: 'identity', subject: 'deploy', reason: 'tests' })
  const at = Math.floor(Date.now() / 1000)
  const claims = () => ({
    iss: lab.url,
    sub: 'repo:acme/shop',
    aud: audience,
    repository: 'acme/shop',
    environment: 'prod',
    iat: at,
    exp: at + 300,
    jti: newId(),
  })
  return { lab, claims }
}

test('a job shows the token of its CI, once; the issuer is listed with its rules and removed', async () => {
  const { lab, claims } = await trusted()
  try {
    const text = await lab.sign(claims())
    expect((await get(text)).status).toBe(200)
    expect((await get(text)).status).toBe(401)
    expect((await get(await lab.sign({ ...claims(), environment: 'test' }))).text).toBe((await get('eyJ.eyJ.eyJ')).text)
    expect((await server.get('/v1/issuers')).body.items).toMatchObject([
      { name: 'ci', keysFrom: 'discovery', rules: 1, weakRules: 0, replay: 'jti' },
    ])
    const [rule] = (await server.get('/v1/issuers/ci/rules')).body.items
    expect(rule).toMatchObject({ identity: { name: 'deploy' }, weak: false, part: 'subject' })
    expect((await server.post(`/v1/issuers/ci/rules/${rule.id}/remove`)).status).toBe(200)
    expect((await get(await lab.sign(claims()))).status).toBe(401)
    expect((await server.post('/v1/issuers/ci/remove', { reason: 'tests' })).status).toBe(200)
    expect((await server.post('/v1/issuers/ci/remove', { reason: 'tests' })).status).toBe(404)
    expect(JSON.stringify(server.lines)).not.toContain(text)
  } finally {
    await lab.stop()
  }
})

test('an event stream that a job opened by a token that counts once goes on, until its identity is suspended', async () => {
  const { lab, claims } = await trusted()
  const hangUp = new AbortController()
  try {
    await server.declare(1)
    const { batch } = (await server.post('/v1/rotations', { names: ['app-0'], reason: 'tests' })).body
    const headers = { authorization: `Bearer ${await lab.sign(claims())}` }
    const stream = await fetch(`${server.url}/v1/batches/${batch}/events`, { headers, signal: hangUp.signal })
    expect(stream.status).toBe(200)
    let ended = false
    const end = stream.text().then(() => {
      ended = true
    })
    // Past the time after which a quiet stream's proof is looked at again.
    await sleep(6_000)
    expect(ended).toBe(false)
    await server.post('/v1/identities/deploy/suspend', { reason: 'compromised' })
    await end
  } finally {
    hangUp.abort()
    await lab.stop()
  }
})

test('a bound token is shown with its proof over HTTP; what it does is on record under its identity', async () => {
  const { lab, claims } = await trusted()
  try {
    const key = await labKey('ES256')
    const { kid: _kid, use: _use, ...jwk } = key.publicJwk
    const text = await lab.sign({ ...claims(), cnf: { jkt: await calculateJwkThumbprint(jwk) } })
    const ath = Buffer.from(sha256Hex(Secret.fromText(text)), 'hex').toString('base64url')
    const prove = (htu: string) =>
      new SignJWT({ htm: 'GET', htu, iat: Math.floor(Date.now() / 1000), jti: newId(), ath })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .sign(key.privateKey)
    const send = async (dpop: string) =>
      (await server.send('GET', '/v1/status?x', { token: null, headers: { authorization: `DPoP ${text}`, dpop } })).status
    // Past authentication: the query is refused only then.
    expect(await send(await prove(`${server.url}/v1/status`))).toBe(400)
    expect(await send(await prove('https://evil.example/v1/status'))).toBe(401)
    expect((await get(text)).status).toBe(401)
    const id = (await server.get('/v1/identities/deploy')).body.id
    expect(server.lines.some(({ fields }) => fields.actor === id)).toBe(true)
  } finally {
    await lab.stop()
  }
})

test('a server that is reached from elsewhere, and was not told under which name, takes no proof for an address', async () => {
  const { originsOf } = await import('./hosts.ts')
  const request = (host: string) => ({ headers: { host } }) as never
  expect(originsOf('0.0.0.0')(request('evil.example'))).toEqual([])
  expect(originsOf('0.0.0.0', 'https://rekey.example')(request('evil.example'))).toEqual(['https://rekey.example'])
  expect(originsOf('127.0.0.1')(request('localhost:7395'))).toEqual(['http://localhost:7395'])
})

/** Logins at a real OpenID provider, by the API alone: what a page of ours would send, and what attackers would. */
import { exportJWK, generateKeyPair } from 'jose'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type OidcLab, type Person, startOidc } from '../../test/lab/oidc.ts'
import { identityNamed, moveIdentity } from '../identity/index.ts'
import { makeCtx } from '../kernel/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Answered, TestServer } from './testing.ts'

let server: TestServer
let idp: OidcLab
const WORTH = { acr: { 'urn:lab:mfa': 2, 'urn:lab:hardware': 3 }, amr: { otp: 2 } }

beforeAll(async () => {
  server = await TestServer.start()
  idp = await startOidc({
    redirectUris: [`${server.url}/login/callback/corp`],
    emails: { 'sub-mail': { email: 'Mail@Example.org', verified: true }, 'sub-unverified': { email: 'u@example.org', verified: false } },
  })
  await addProvider('corp', idp, WORTH)
  for (const name of ['ada', 'bob', 'sam']) await join(name)
  await link('ada', 'corp', 'sub-ada')
  await link('sam', 'corp', 'sub-sam')
})
afterAll(async () => {
  await idp.stop()
  await server.stop()
})
afterEach(() => expect(server.undeclared()).toEqual([]))

async function addProvider(name: string, { issuer, clientId, clientSecret }: OidcLab, fields: object = {}): Promise<void> {
  const secret = Buffer.from(clientSecret).toString('base64')
  const added = await server.post('/v1/login/providers', { name, issuer, clientId, auth: 'client_secret_basic', secret, ...fields })
  expect(added.status, added.text).toBe(201)
  expect(added.text).not.toContain(clientSecret)
}

async function join(name: string): Promise<void> {
  const joined = await server.post('/v1/identities', { name, kind: 'human' })
  expect(joined.status, joined.text).toBe(201)
}

async function link(identity: string, provider: string, subject: string): Promise<void> {
  const linked = await server.post('/v1/login/links', { identity, provider, subject, reason: 'test' })
  expect(linked.status, linked.text).toBe(200)
}

async function begin(visitor: Visitor, fields: object = {}): Promise<string> {
  const begun = await visitor.post('/v1/login/oidc/begin', { provider: 'corp', ...fields })
  expect(begun.status, begun.text).toBe(200)
  return begun.body.url
}

async function login(visitor: Visitor, person: Person, fields: object = {}): Promise<Answered> {
  const response = await idp.visit(await begin(visitor, fields), person)
  return visitor.post('/v1/login/oidc/finish', { provider: 'corp', response })
}

async function ada(): Promise<Visitor> {
  const visitor = new Visitor(server)
  const done = await login(visitor, { account: 'sub-ada', acr: 'urn:lab:mfa' })
  expect(done.status, done.text).toBe(200)
  return visitor
}

const started = async () =>
  (await server.db.store.query("select 1 from evidence_event where body::jsonb->>'type' = 'session.started'")).length

test('a person logs in, with PKCE, state, nonce and a bounded age, and is who they are', async () => {
  const visitor = new Visitor(server)
  const url = new URL(await begin(visitor))
  const asked = Object.fromEntries(url.searchParams)
  expect(asked).toMatchObject({ response_type: 'code', code_challenge_method: 'S256', max_age: '86400', response_mode: 'fragment' })
  for (const part of ['state', 'nonce', 'code_challenge']) expect(asked[part]).toMatch(/^[\w-]{43}$/)
  const done = await visitor.post('/v1/login/oidc/finish', {
    provider: 'corp',
    response: await idp.visit(url.href, { account: 'sub-ada', acr: 'urn:lab:mfa' }),
  })
  expect(done.status, done.text).toBe(200)
  expect(done.body).toMatchObject({ name: 'ada', aal: 2 })
  const [session] = visitor.setCookies
  expect(session).toMatch(/^rekey-session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
  const me = await visitor.get('/v1/session')
  expect(me.body).toMatchObject({ kind: 'person', name: 'ada', aal: 2, session: done.body.session })
  // What is stored opens nothing.
  const token = visitor.cookies.get('rekey-session') ?? ''
  const rows = await server.db.store.query('select * from session')
  expect(JSON.stringify(rows)).not.toContain(token)
  expect(server.lines.map((line) => JSON.stringify(line)).join()).not.toContain(token)
})

test('acr and amr are worth what the configuration says, and nothing of their own', async () => {
  const aal = async (person: Person) => (await login(new Visitor(server), person)).body.aal
  expect(await aal({ account: 'sub-ada' })).toBe(1)
  expect(await aal({ account: 'sub-ada', acr: 'urn:lab:password' })).toBe(1)
  expect(await aal({ account: 'sub-ada', acr: 'urn:lab:hardware' })).toBe(3)
  expect(await aal({ account: 'sub-ada', amr: ['pwd', 'otp'] })).toBe(2)
  expect(await aal({ account: 'sub-ada', amr: ['hwk', 'toString'] })).toBe(1)
})

test('a login that asks for a level asks the provider for the values that are worth it', async () => {
  const url = new URL(await begin(new Visitor(server), { aal: 2, maxAgeSeconds: 300 }))
  expect(url.searchParams.get('acr_values')).toBe('urn:lab:mfa urn:lab:hardware')
  expect(url.searchParams.get('max_age')).toBe('300')
  // A weaker login that the provider remembers would be answered with instead.
  expect(url.searchParams.get('prompt')).toBe('login')
  expect(new URL(await begin(new Visitor(server), { aal: 1 })).searchParams.get('prompt')).toBeNull()
})

test('the age of a login counts from when the provider says it was', async () => {
  const visitor = new Visitor(server)
  const done = await login(visitor, { account: 'sub-ada', agoSeconds: 3600 })
  expect(done.status, done.text).toBe(200)
  const length = Date.parse(done.body.endsAt) - Date.parse(done.body.authenticatedAt)
  expect(length).toBe(24 * 3600 * 1000)
  expect(Math.abs(Date.now() - 3600_000 - Date.parse(done.body.authenticatedAt))).toBeLessThan(60_000)
  // Older than was asked for.
  const old = await idp.visit(await begin(visitor, { maxAgeSeconds: 300 }), { account: 'sub-ada', agoSeconds: 3600 })
  expect((await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: old })).status).toBe(401)
})

test('unknown, suspended and offboarded people, and a wrong answer, get the same bytes', async () => {
  const answers: Answered[] = []
  const attempt = async (person: Person) => answers.push(await login(new Visitor(server), person))
  await attempt({ account: 'nobody-at-all' })
  await server.post('/v1/identities/sam/suspend', { reason: 'on leave' })
  await attempt({ account: 'sub-sam' })
  await attempt({ account: 'sub-ada', refuses: true })
  const visitor = new Visitor(server)
  await begin(visitor)
  answers.push(await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: 'code=x&state=y' }))
  answers.push(await new Visitor(server).post('/v1/login/oidc/finish', { provider: 'corp', response: 'code=x&state=y' }))
  expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401])
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  for (const { headers } of answers) expect(headers.getSetCookie()).toEqual([])
  const [refused] = await server.db.store.query<{ body: { subject: string; data: object } }>(
    "select body::jsonb as body from evidence_event where body::jsonb->>'type' = 'login.refused'",
  )
  expect(refused?.body).toMatchObject({ subject: 'sam', data: { why: 'suspended', provider: 'corp' } })
})

test('an answer is of use in the browser alone that asked for it, and once', async () => {
  const attacker = new Visitor(server)
  const victim = new Visitor(server)
  await forgetFailures()
  const stolen = await idp.visit(await begin(attacker), { account: 'sub-ada' })
  await begin(victim)
  const before = await started()
  // Login CSRF: the victim's browser is made to finish the attacker's login; and code injection.
  expect((await victim.post('/v1/login/oidc/finish', { provider: 'corp', response: stolen })).status).toBe(401)
  // With the victim's own state, another's code: PKCE and the nonce refuse it.
  const state = new URL(await begin(victim)).searchParams.get('state') ?? ''
  const injected = new URLSearchParams(stolen)
  injected.set('state', state)
  expect((await victim.post('/v1/login/oidc/finish', { provider: 'corp', response: injected.toString() })).status).toBe(401)
  const mine = await idp.visit(await begin(victim), { account: 'sub-ada' })
  expect((await victim.post('/v1/login/oidc/finish', { provider: 'corp', response: mine })).status).toBe(200)
  expect((await victim.post('/v1/login/oidc/finish', { provider: 'corp', response: mine })).status).toBe(401)
  expect(await started()).toBe(before + 1)
})

test('an answer that names another issuer is refused (RFC 9207)', async () => {
  await forgetFailures()
  const visitor = new Visitor(server)
  const response = new URLSearchParams(await idp.visit(await begin(visitor), { account: 'sub-ada' }))
  expect(response.get('iss')).toBe(idp.issuer)
  response.set('iss', 'https://other.example')
  expect((await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: response.toString() })).status).toBe(401)
  const again = new URLSearchParams(await idp.visit(await begin(visitor), { account: 'sub-ada' }))
  again.delete('iss')
  expect((await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: again.toString() })).status).toBe(401)
})

test('a login that took too long is refused', async () => {
  await forgetFailures()
  const visitor = new Visitor(server)
  const response = await idp.visit(await begin(visitor), { account: 'sub-ada' })
  await server.db.store.query("update login_flow set expires_at = now() - interval '1 second'")
  expect((await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response })).status).toBe(401)
})

test('what begins or finishes a login comes from a page of ours', async () => {
  const visitor = new Visitor(server)
  const body = { provider: 'corp' }
  const tries: Record<string, string>[] = [
    { origin: 'http://127.0.0.1:1' },
    { origin: 'null' },
    { origin: '' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
  ]
  for (const headers of tries) expect((await visitor.post('/v1/login/oidc/begin', body, headers)).status, JSON.stringify(headers)).toBe(403)
  const bare = await server.send('POST', '/v1/login/oidc/begin', { body, token: null, headers: { origin: server.url } })
  expect(bare.status).toBe(403)
  const noOrigin = await server.send('POST', '/v1/login/oidc/begin', { body, token: null, headers: { 'x-rekey-request': '1' } })
  expect(noOrigin.status).toBe(403)
})

test('under a session, what changes something comes from a page of ours; with a token that does not matter', async () => {
  const visitor = await ada()
  const cookie = `rekey-session=${visitor.cookies.get('rekey-session')}`
  for (const headers of [
    { cookie },
    { cookie, origin: server.url },
    { cookie, 'x-rekey-request': '1' },
    { cookie, origin: 'null', 'x-rekey-request': '1' },
  ]) {
    const answer = await server.send('POST', '/v1/session/end', { token: null, headers: headers as Record<string, string> })
    expect(answer.status, JSON.stringify(headers)).toBe(403)
  }
  // A cookie adds nothing to a token: the token alone decides.
  const wrong = await server.send('GET', '/v1/session', { token: 'rekey_wrong', headers: { cookie } })
  expect(wrong.status).toBe(401)
  expect((await visitor.post('/v1/session/end')).status).toBe(200)
  expect((await visitor.get('/v1/session')).status).toBe(401)
})

test('a stolen cookie is of no use after its person is suspended, and none after the person is back', async () => {
  const visitor = await ada()
  const thief = new Visitor(server)
  for (const [name, value] of visitor.cookies) thief.cookies.set(name, value)
  expect((await thief.get('/v1/session')).status).toBe(200)
  await server.post('/v1/identities/ada/suspend', { reason: 'laptop lost' })
  const refused = await thief.get('/v1/session')
  expect(refused.status).toBe(401)
  expect(refused.text).toBe((await new Visitor(server).get('/v1/session')).text)
  await server.post('/v1/identities/ada/resume', { reason: 'found' })
  expect((await thief.get('/v1/session')).status).toBe(401)
})

test('sessions end by age, by rest and by the word of their owner or an administrator, by the database alone', async () => {
  await forgetFailures()
  const set = (column: string, seconds: number, session: string) =>
    server.db.store.query(`update session set ${column} = ${column} - make_interval(secs => $2) where id = $1`, [session, seconds])
  const fresh = async () => {
    const visitor = await ada()
    return { visitor, id: (await visitor.get('/v1/session')).body.session as string }
  }
  const aged = await fresh()
  await set('ends_at', 24 * 3600 - 60, aged.id)
  expect((await aged.visitor.get('/v1/session')).status).toBe(200)
  await set('ends_at', 61, aged.id)
  expect((await aged.visitor.get('/v1/session')).status).toBe(401)
  const resting = await fresh()
  await set('seen_at', 3500, resting.id)
  expect((await resting.visitor.get('/v1/session')).status).toBe(200)
  await set('seen_at', 3601, resting.id)
  expect((await resting.visitor.get('/v1/session')).status).toBe(401)
  const one = await fresh()
  const other = await fresh()
  const listed = await one.visitor.get('/v1/sessions')
  expect(listed.body.items.map(({ session }: { session: string }) => session)).toEqual(expect.arrayContaining([one.id, other.id]))
  expect(listed.body.items.every(({ name }: { name: string }) => name === 'ada')).toBe(true)
  expect((await one.visitor.post(`/v1/sessions/${other.id}/end`)).status).toBe(200)
  expect((await other.visitor.get('/v1/session')).status).toBe(401)
  expect((await server.post(`/v1/sessions/${one.id}/end`)).status).toBe(200)
  expect((await one.visitor.get('/v1/session')).status).toBe(401)
})

test('a person sees and ends no session of another: the answer is that of one that is not there', async () => {
  await link('bob', 'corp', 'sub-bob')
  const visitor = await ada()
  const bob = new Visitor(server)
  expect((await login(bob, { account: 'sub-bob' })).status).toBe(200)
  const { session } = (await visitor.get('/v1/session')).body
  const hers = await bob.post(`/v1/sessions/${session}/end`)
  const none = await bob.post('/v1/sessions/01890000-0000-7000-8000-000000000000/end')
  expect(hers.status).toBe(404)
  expect(hers.text.replaceAll(session, '*')).toBe(none.text.replaceAll('01890000-0000-7000-8000-000000000000', '*'))
  const list = await bob.get('/v1/sessions')
  expect(new Set(list.body.items.map(({ name }: { name: string }) => name))).toEqual(new Set(['bob']))
  expect((await bob.get('/v1/identities')).status).toBe(403)
})

test('too weak a session is told what is needed (RFC 9470), and a better one takes its place', async () => {
  const { id } = (await server.get('/v1/identities/bob')).body
  const bound = await server.post('/v1/role-bindings', { role: 'directory-admin', kind: 'identity', subject: id, reason: 'test' })
  expect(bound.status, bound.text).toBeLessThan(300)
  const bob = new Visitor(server)
  await login(bob, { account: 'sub-bob' })
  const weak = await bob.post('/v1/teams', { name: 'orders' })
  expect(weak.status).toBe(401)
  expect(weak.headers.get('www-authenticate')).toMatch(/^Bearer error="insufficient_user_authentication", acr_values="aal2"/)
  expect(weak.body.stepUp.aal).toBe(2)
  const before = bob.cookies.get('rekey-session') ?? ''
  expect((await login(bob, { account: 'sub-bob', acr: 'urn:lab:mfa' }, { aal: 2 })).body.aal).toBe(2)
  expect((await bob.post('/v1/teams', { name: 'orders' })).status).toBe(201)
  // What was on its way under the old one is still answered, for seconds and at its own level.
  await server.db.store.query("update session set ends_at = ends_at - interval '10 seconds' where ends_at < now() + interval '11 seconds'")
  const old = new Visitor(server)
  old.cookies.set('rekey-session', before)
  expect((await old.get('/v1/session')).status).toBe(401)
})

test('a person is linked once by a verified address that a directory knows, where the provider was added so', async () => {
  const directory = await Provider.add(server, 'hr')
  await directory.user('mail', { emails: [{ value: 'mail@example.org' }], active: true })
  await directory.user('unverified', { emails: [{ value: 'u@example.org' }], active: true })
  expect((await login(new Visitor(server), { account: 'sub-mail' })).status).toBe(401)
  const linking = await startOidc({
    redirectUris: [`${server.url}/login/callback/linking`],
    emails: { 'sub-mail': { email: 'Mail@Example.org', verified: true }, 'sub-unverified': { email: 'u@example.org', verified: false } },
  })
  try {
    await addProvider('linking', linking, { linkByEmail: true })
    const at = async (account: string) => {
      const visitor = new Visitor(server)
      const response = await linking.visit(await begin(visitor, { provider: 'linking' }), { account })
      return visitor.post('/v1/login/oidc/finish', { provider: 'linking', response })
    }
    const first = await at('sub-mail')
    expect(first.status, first.text).toBe(200)
    expect(first.body.name).toBe('mail')
    expect((await at('sub-unverified')).status).toBe(401)
    // Linked is linked: another subject with the same address is nobody.
    const [{ count } = { count: 0 }] = await server.db.store.query<{ count: number }>(
      "select count(*)::integer as count from identity_external where source = 'oidc:linking'",
    )
    expect(count).toBe(1)
    const removed = await server.post('/v1/login/providers/linking/remove', { reason: 'tests' })
    expect(removed.body).toEqual({ provider: 'linking', sessionsEnded: 1, passkeysLeft: 0 })
  } finally {
    await linking.stop()
  }
})

test('clients without a secret, and with a private key, log in too', async () => {
  for (const auth of ['none', 'private_key_jwt'] as const) {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
    const jwk = { ...(await exportJWK(privateKey)), alg: 'ES256', kid: 'k1' }
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'k1', use: 'sig' }] }
    const other = await startOidc({ redirectUris: [`${server.url}/login/callback/${auth}`], auth, ...(auth === 'none' ? {} : { jwks }) })
    try {
      const secret = auth === 'none' ? {} : { secret: Buffer.from(JSON.stringify(jwk)).toString('base64') }
      const added = await server.post('/v1/login/providers', {
        name: auth,
        issuer: other.issuer,
        clientId: other.clientId,
        auth,
        ...secret,
      })
      expect(added.status, added.text).toBe(201)
      await link('ada', auth, 'x')
      const visitor = new Visitor(server)
      const response = await other.visit(await begin(visitor, { provider: auth }), { account: 'x' })
      expect((await visitor.post('/v1/login/oidc/finish', { provider: auth, response })).status).toBe(200)
    } finally {
      await other.stop()
    }
  }
  const stored = await server.db.store.query('select sealed from login_provider where sealed is not null')
  expect(stored.length).toBeGreaterThan(0)
})

test('an issuer is kept as the provider writes it, and a link that writes it otherwise still leads in', async () => {
  const other = await startOidc({ redirectUris: [`${server.url}/login/callback/slash`] })
  try {
    await addProvider('slash', { ...other, issuer: `${other.issuer}/` })
    const { body } = await server.get('/v1/login/providers')
    expect(body.items.find((it: { name: string }) => it.name === 'slash').issuer).toBe(other.issuer)
    for (const name of ['slash-new', 'slash-old']) await join(name)
    await link('slash-new', 'slash', 'sub-new')
    const externalIds = [{ source: 'oidc:slash', id: `${other.issuer}/|sub-old` }]
    const { id } = await identityNamed(server.db.store, 'slash-old')
    await server.db.store.inTx((tx) => moveIdentity(tx, makeCtx('test', 'test'), id, { externalIds }))
    for (const account of ['sub-new', 'sub-old']) {
      const visitor = new Visitor(server)
      const response = await other.visit(await begin(visitor, { provider: 'slash' }), { account })
      const done = await visitor.post('/v1/login/oidc/finish', { provider: 'slash', response })
      expect(done.status, done.text).toBe(200)
      expect(done.body.name).toBe(account.replace('sub', 'slash'))
    }
    const taken = await server.post('/v1/login/links', { identity: 'ada', provider: 'slash', subject: 'sub-old', reason: 'test' })
    expect(taken.status, taken.text).toBe(409)
  } finally {
    await other.stop()
  }
})

test('a provider that does not answer, answers rubbish or leads elsewhere is no way in and no way around', async () => {
  const bad = async (issuer: string) => {
    const answer = await server.post('/v1/login/providers', { name: 'bad', issuer, clientId: 'x', auth: 'none' })
    return [answer.status, answer.body.code]
  }
  expect(await bad('http://127.0.0.1:1')).toEqual([503, 'unavailable'])
  expect(await bad(server.url)).toEqual([503, 'unavailable'])
  expect(await bad('https://169.254.169.254')).toEqual([503, 'unavailable'])
  expect(await bad('http://idp.example.com')).toEqual([400, 'bad_input'])
  expect(await bad('https://user:pw@idp.example.com')).toEqual([400, 'bad_input'])
  expect(await bad('file:///etc/passwd')).toEqual([400, 'bad_input'])
})

test('a source that fails again and again is told to wait; whoever can log in there never has to', async () => {
  await forgetFailures()
  const known = await ada()
  const stranger = new Visitor(server)
  const fail = () => stranger.post('/v1/login/oidc/finish', { provider: 'corp', response: 'code=x' })
  for (let n = 0; n < 6; n++) expect((await fail()).status).toBe(401)
  const blocked = await fail()
  expect(blocked.status).toBe(429)
  expect(blocked.body.code).toBe('too_many_requests')
  known.cookies.delete('rekey-session')
  const done = await login(known, { account: 'sub-ada' })
  expect(done.status, done.text).toBe(200)
  // Behind one proxy all have one address: a stranger who fails once a second must not keep new browsers out either.
  for (let n = 0; n < 20; n++) expect((await fail()).status).toBe(429)
  const fresh = await login(new Visitor(server), { account: 'sub-ada' })
  expect(fresh.status, fresh.text).toBe(200)
  await forgetFailures()
})

function forgetFailures(): Promise<unknown> {
  return server.db.store.query('delete from login_counter')
}

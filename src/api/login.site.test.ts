/** Where the server's pages are, what its cookies are like there, and providers that fail in the middle of a login. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { type OidcLab, startOidc } from '../../test/lab/oidc.ts'
import { portOf } from '../../test/lab/ports.ts'
import { makeCtx } from '../kernel/index.ts'
import { rotateKek } from '../keys/index.ts'
import { sitesOf } from './browser.ts'
import { Visitor } from './routes/login/testing.ts'
import { TestServer } from './testing.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function start(options: Parameters<typeof TestServer.start>[0] = {}): Promise<TestServer> {
  const server = await TestServer.start(options)
  ends.push(() => server.stop())
  return server
}

/** A provider whose token endpoint is as the test wants it. */
async function provider(answer: (issuer: string) => (server: Server) => void): Promise<string> {
  const http = createServer()
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const issuer = `http://127.0.0.1:${portOf(http)}`
  answer(issuer)(http)
  ends.push(async () => {
    http.closeAllConnections()
    http.close()
  })
  return issuer
}

async function underWay(
  server: TestServer,
  issuer: string,
): Promise<{ visitor: Visitor; finish: (code: string) => ReturnType<Visitor['post']> }> {
  const added = await server.post('/v1/login/providers', { name: 'corp', issuer, clientId: 'x', auth: 'none' })
  expect(added.status, added.text).toBe(201)
  const visitor = new Visitor(server)
  const begun = await visitor.post('/v1/login/oidc/begin', { provider: 'corp' })
  const state = new URL(begun.body.url).searchParams.get('state') ?? ''
  return {
    visitor,
    finish: (code) =>
      visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: new URLSearchParams({ code, state }).toString() }),
  }
}

const documentOf = (issuer: string) =>
  JSON.stringify({
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  })

/** The provider as `corp`, and ada, who logs in there. */
async function addAda(server: TestServer, { issuer, clientId, clientSecret }: OidcLab): Promise<void> {
  const secret = Buffer.from(clientSecret).toString('base64')
  await server.post('/v1/login/providers', { name: 'corp', issuer, clientId, auth: 'client_secret_basic', secret })
  await server.post('/v1/identities', { name: 'ada', kind: 'human' })
  await server.post('/v1/login/links', { identity: 'ada', provider: 'corp', subject: 'ada', reason: 'test' })
}

test('behind a proxy with TLS cookies are the host’s own, and only its public origin counts', async () => {
  const server = await start({ publicUrl: 'https://rekey.example.com' })
  const idp = await startOidc({ redirectUris: ['https://rekey.example.com/login/callback/corp'] })
  ends.push(() => idp.stop())
  await addAda(server, idp)
  const visitor = new Visitor(server, 'https://rekey.example.com')
  const begun = await visitor.post('/v1/login/oidc/begin', { provider: 'corp' })
  expect(begun.status, begun.text).toBe(200)
  expect(visitor.setCookies[0]).toMatch(/^__Host-rekey-login=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
  const response = await idp.visit(begun.body.url, { account: 'ada' })
  const done = await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response })
  expect(done.status, done.text).toBe(200)
  expect(visitor.setCookies[0]).toMatch(/^__Host-rekey=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
  expect((await visitor.get('/v1/session')).body.name).toBe('ada')
  // A cookie under the name that any program of the machine could set is no session.
  const token = visitor.cookies.get('__Host-rekey') ?? ''
  expect((await server.send('GET', '/v1/session', { token: null, headers: { cookie: `rekey-session=${token}` } })).status).toBe(401)
  const other = await new Visitor(server).post('/v1/login/oidc/begin', { provider: 'corp' })
  expect(other.status).toBe(403)
  // The proxy may pass the public name on as Host; no other name is answered.
  expect((await server.raw('/healthz', { host: 'rekey.example.com' })).status).toBe(200)
  expect((await server.raw('/healthz', { host: 'evil.example.com' })).status).toBe(403)
})

test('a server that listens to a network and was not told its address knows no pages', async () => {
  const request = { headers: { host: 'localhost:1' } } as Parameters<ReturnType<typeof sitesOf>>[0]
  expect(sitesOf(null, '0.0.0.0')(request)).toBeNull()
  expect(sitesOf(null, '::')(request)).toBeNull()
  expect(sitesOf(null, '127.0.0.1')(request)).toEqual({ origin: 'http://localhost:1', rpId: 'localhost' })
  expect(sitesOf('https://rekey.example.com', '0.0.0.0')(request)).toEqual({
    origin: 'https://rekey.example.com',
    rpId: 'rekey.example.com',
  })
})

test('a provider that sends its visitor on to another one gets nothing of that login (mix-up, RFC 9700 section 4.4)', async () => {
  const server = await start()
  const idp = await startOidc({ redirectUris: [`${server.url}/login/callback/corp`], auth: 'none' })
  ends.push(() => idp.stop())
  const added = { name: 'corp', issuer: idp.issuer, clientId: idp.clientId, auth: 'none' }
  expect((await server.post('/v1/login/providers', added)).status).toBe(201)
  await server.post('/v1/identities', { name: 'ada', kind: 'human' })
  await server.post('/v1/login/links', { identity: 'ada', provider: 'corp', subject: 'ada', reason: 'test' })
  let exchanged = 0
  const evil = await provider((url) => (http) => {
    http.on('request', (request, answer) => {
      if (!request.url?.startsWith('/.well-known')) exchanged++
      answer.setHeader('content-type', 'application/json').end(documentOf(url))
    })
  })
  const other = { name: 'evil', issuer: evil, clientId: idp.clientId, auth: 'none' }
  expect((await server.post('/v1/login/providers', other)).status).toBe(201)
  const victim = new Visitor(server)
  const begun = await victim.post('/v1/login/oidc/begin', { provider: 'evil' })
  // The evil one passes the browser on, with the state of its own login and a nonce and a challenge of its choice.
  const onward = new URL(begun.body.url)
  expect(onward.searchParams.get('redirect_uri')).toBe(`${server.url}/login/callback/evil`)
  onward.searchParams.set('redirect_uri', `${server.url}/login/callback/corp`)
  const response = await idp.visit(`${idp.issuer}/auth${onward.search}`, { account: 'ada' })
  expect(response).toContain('code=')
  const withoutIss = new URLSearchParams(response)
  withoutIss.delete('iss')
  const done = await victim.post('/v1/login/oidc/finish', { provider: 'corp', response: withoutIss.toString() })
  expect(done.status).toBe(401)
  expect(exchanged).toBe(0)
  expect(await server.db.store.query('select 1 from session')).toEqual([])
})

test('the name of a provider is one segment of an address', async () => {
  const server = await start()
  for (const name of ['.', '..', 'a/b', 'a b', '%2e', '-x', 'ä']) {
    const answer = await server.post('/v1/login/providers', { name, issuer: 'https://idp.example.com', clientId: 'x', auth: 'none' })
    expect(answer.status, name).toBe(400)
    expect(answer.body.code).toBe('bad_input')
  }
})

test('a provider that dies, hangs or redirects in the middle of a login leaves no session, and the login begins again', async () => {
  const server = await start()
  let behave: 'hang' | 'redirect' | 'flood' | 'rubbish' = 'rubbish'
  let asked = 0
  const issuer = await provider((url) => (http) => {
    http.on('request', (request, answer) => {
      if (request.url?.startsWith('/.well-known')) return answer.setHeader('content-type', 'application/json').end(documentOf(url))
      asked++
      if (behave === 'redirect') return answer.writeHead(307, { location: 'http://169.254.169.254/latest' }).end()
      if (behave === 'flood') return answer.setHeader('content-type', 'application/json').end(`"${'x'.repeat(600 * 1024)}"`)
      if (behave === 'rubbish') return answer.setHeader('content-type', 'application/json').end('{"access_token":"x"}')
    })
  })
  const { visitor, finish } = await underWay(server, issuer)
  const again = async () => (await visitor.post('/v1/login/oidc/begin', { provider: 'corp' })).body.url as string
  expect((await finish('rubbish')).status).toBe(401)
  const next = async (how: typeof behave) => {
    behave = how
    const state = new URL(await again()).searchParams.get('state') ?? ''
    return visitor.post('/v1/login/oidc/finish', {
      provider: 'corp',
      response: new URLSearchParams({ code: 'secret-code', state }).toString(),
    })
  }
  expect((await next('redirect')).status).toBe(401)
  expect((await next('flood')).status).toBe(503)
  const hung = await next('hang')
  expect(hung.status).toBe(503)
  expect(hung.body.code).toBe('unavailable')
  expect(asked).toBe(4)
  expect(await server.db.store.query('select 1 from session')).toEqual([])
  expect(await server.db.store.query('select 1 from login_flow')).toEqual([])
  expect(JSON.stringify(server.lines)).not.toContain('secret-code')
  expect(server.undeclared()).toEqual([])
}, 30_000)

test('the secret of a provider is sealed, and stays readable when the key-encryption key is rotated', async () => {
  const server = await start()
  const idp = await startOidc({ redirectUris: [`${server.url}/login/callback/corp`] })
  ends.push(() => idp.stop())
  await addAda(server, idp)
  const [before] = await server.db.store.query<{ sealed: Buffer; kek_id: string }>('select sealed, kek_id from login_provider')
  expect(before?.sealed.includes(idp.clientSecret)).toBe(false)
  await rotateKek(server.parts, makeCtx('test', 'test'), { fresh: true })
  const [after] = await server.db.store.query<{ kek_id: string }>('select kek_id from login_provider')
  expect(after?.kek_id).not.toBe(before?.kek_id)
  const visitor = new Visitor(server)
  const { url } = (await visitor.post('/v1/login/oidc/begin', { provider: 'corp' })).body
  expect(
    (await visitor.post('/v1/login/oidc/finish', { provider: 'corp', response: await idp.visit(url, { account: 'ada' }) })).status,
  ).toBe(200)
})

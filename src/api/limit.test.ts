/** A stranger's flood takes nothing from whoever shows something good, on the same address and at the first request of all. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { startSession } from '../identity/session.ts'
import { makeCtx, newId, type Secret } from '../kernel/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { type Answered, TestServer } from './testing.ts'

let server: TestServer
let idp: LabIssuer
let ada = ''
/** Far apart, so that the flood is certainly above and all else certainly below. */
const PER_MINUTE = 200
const ctx = makeCtx('test', 'test')

beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: PER_MINUTE })
  idp = await LabIssuer.start()
  ada = (await made('/v1/identities', { name: 'ada', kind: 'human' })).id
  const job = await made('/v1/identities', { name: 'job', kind: 'workload', owner: `person:${ada}`, purpose: 'ci', environment: 'test' })
  await made('/v1/role-bindings', { role: 'auditor', kind: 'identity', subject: job.id, reason: 'tests' })
  await made('/v1/issuers', { name: 'ci', type: 'oidc', origin: idp.url, audience: 'rekey', keys: { from: 'inline', jwks: idp.jwks() } })
  await made('/v1/issuers/ci/rules', { identity: job.id, claims: { sub: 'mine' } })
})
afterAll(async () => {
  await idp.stop()
  await server.stop()
})
afterEach(() => expect(server.undeclared()).toEqual([]))

async function made(path: string, body: object) {
  const answer = await server.post(path, body)
  expect(answer.status, answer.text).toBeLessThan(300)
  return answer.body
}

const stranger = (token: string | null = null) => server.send('GET', '/v1/login', { token })

/** Until the address has nothing left. */
async function flood(): Promise<void> {
  for (let n = 0; n < 3 * PER_MINUTE; n++) if ((await stranger()).status === 429) return
  throw new Error('the limit was never reached')
}

async function session(byHand: boolean): Promise<Secret> {
  const how = { method: 'oidc', provider: null, passkey: null, browser: 'test', replaces: null, authenticatedAt: null, byHand } as const
  const begun = await server.db.store.inTx((tx) => startSession(tx, ctx, { ...how, identity: ada, name: 'ada', aal: 2 }))
  if (begun === null) throw new Error('no session was begun')
  return begun.token
}

const jwt = (claims: object = {}, by = idp) => {
  const now = Math.floor(Date.now() / 1000)
  return by.sign({ iss: idp.url, aud: 'rekey', sub: 'mine', iat: now, exp: now + 300, jti: newId(), ...claims })
}
const limited = (answer: Answered) => answer.status === 429

test('what counts is let through at its first request, while strangers wait', async () => {
  await flood()
  const cookie = new Visitor(server)
  cookie.cookies.set(
    'rekey-session',
    (await session(false)).revealText((text) => text),
  )
  expect((await cookie.get('/v1/session')).status).toBe(200)
  const hand = (await session(true)).revealText((text) => text)
  expect((await server.send('GET', '/v1/session', { token: hand })).status).toBe(200)
  for (let n = 0; n < 3; n++) expect((await server.send('GET', '/v1/status', { token: await jwt() })).status).toBe(200)
  const { token } = await made('/v1/scim/providers', { name: 'corp' })
  expect((await server.send('GET', '/scim/v2/Users', { token })).status).toBe(200)
  const device = new Visitor(server)
  await server.db.store.query(`insert into login_device (id, hash, identity_id) values ($1, sha256(convert_to($2, 'utf8')), $3)`, [
    newId(),
    'd'.repeat(43),
    ada,
  ])
  device.cookies.set('rekey-device', 'd'.repeat(43))
  expect((await device.post('/v1/login/passkey/begin', {})).status).toBe(200)
  expect(limited(await stranger())).toBe(true)
})

test('guesses and false tokens stay in the bucket of their address, and have an end each', async () => {
  await flood()
  const other = await LabIssuer.start()
  const guesses = [`rekey_${'x'.repeat(40)}`, 'x'.repeat(43), await jwt({}, other), await jwt({ sub: 'other' }), await jwt({ exp: 1 })]
  for (const token of guesses) expect(limited(await server.send('GET', '/v1/status', { token }))).toBe(true)
  await other.stop()
  const cookie = new Visitor(server)
  cookie.cookies.set('rekey-session', 'x'.repeat(43))
  expect(limited(await cookie.get('/v1/session'))).toBe(true)
  const good = await jwt()
  const statuses: number[] = []
  for (let n = 0; n < PER_MINUTE + 5; n++) statuses.push((await server.send('GET', '/v1/status', { token: good })).status)
  expect(statuses[0]).toBe(200)
  // Shown again it proves nothing, and uses up its own bucket alone.
  expect(new Set(statuses.slice(1, PER_MINUTE))).toEqual(new Set([401]))
  expect(statuses.at(-1)).toBe(429)
  expect((await server.send('GET', '/v1/status', { token: await jwt() })).status).toBe(200)
})

test('many false sessions at one moment keep no true one waiting', async () => {
  await flood()
  const token = (await session(false)).revealText((text) => text)
  const ask = (value: string) => server.send('GET', '/v1/session', { token: null, headers: { cookie: `rekey-session=${value}` } })
  const many = Array.from({ length: 400 }, (_, n) => ask(String(n).padStart(43, 'f')))
  const own = ask(token)
  expect((await own).status).toBe(200)
  for (const answer of await Promise.all(many)) expect(answer.status).toBe(429)
})

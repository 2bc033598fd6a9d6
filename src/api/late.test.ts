/** A body that comes long after its headers, and every other wait between the admission and the act: who asks is asked again. */
import { calculateJwkThumbprint, SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LabIssuer, labKey } from '../../test/lab/issuer.ts'
import { beginAnswer, finishAnswer, releaseAnswer } from '../identity/index.ts'
import { newId, Secret, sleep } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'
import { ADMITTED_MS } from './admission.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'
import type { TestServer } from './testing.ts'

type Person = Awaited<ReturnType<People['person']>>

let people: People
let server: TestServer
let root: Person
let x = ''
beforeAll(async () => {
  people = await People.start()
  server = people.server
  root = await people.person('root', 'bootstrap-admin')
}, 60_000)
beforeEach(() => {
  x = newId().slice(-6)
})
afterAll(() => people.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const headersOf = (who: Person): Record<string, string> => ({
  cookie: [...who.browser.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
  origin: server.url,
  'x-rekey-request': '1',
})
const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
const post = (headers: Record<string, string>, path: string, body: object) => server.held('POST', path, headers, body)
const offboard = async (who: Asker) => done(await root.post(`/v1/identities/${who.name}/offboard`, { reason: 'caught' }))
const statusOf = async (name: string) => done(await root.get(`/v1/identities/${name}`)).status
const teamNamed = (name: string) => server.db.store.query('select id from team where name = $1', [name])
const actorsOf = async (type: string, subject: string) =>
  (
    await server.db.store.query<{ actor: string }>(
      `select body::jsonb ->> 'actor' as actor from evidence_event
        where body::jsonb ->> 'type' = $1 and body::jsonb ->> 'subject' = $2 order by id`,
      [type, subject],
    )
  ).map(({ actor }) => actor)

describe('a body that comes late, from', () => {
  test('a person who still may: it is done, and on record as theirs', async () => {
    const ada = await people.person(`ada-${x}`, 'directory-admin')
    const rest = await post(headersOf(ada), '/v1/teams', { name: `t-${x}` })
    expect((await rest()).status).toBe(201)
    expect(await actorsOf('team.created', `t-${x}`)).toEqual([`person:${ada.id}`])
  })

  test('a session that its owner ended', async () => {
    const ada = await people.person(`ada-${x}`, 'directory-admin')
    const rest = await post(headersOf(ada), '/v1/teams', { name: `t-${x}` })
    done(await ada.post('/v1/session/end', {}))
    const late = await rest()
    expect([late.status, late.body.code]).toEqual([401, 'unauthenticated'])
    expect(await teamNamed(`t-${x}`)).toEqual([])
  })

  test('a token that was revoked', async () => {
    const token = await people.token(root, `tk-${x}`, ['directory-admin'])
    const rest = await post(bearer(token.text), '/v1/teams', { name: `t-${x}` })
    done(await root.post(`/v1/tokens/tk-${x}/revoke`, { reason: 'leaked' }))
    const late = await rest()
    expect([late.status, late.body.code]).toEqual([401, 'unauthenticated'])
    expect(await teamNamed(`t-${x}`)).toEqual([])
  })

  test('a person who was suspended, and would lift that', async () => {
    const mal = await people.person(`mal-${x}`, 'directory-admin')
    const rest = await post(headersOf(mal), `/v1/identities/${mal.name}/resume`, { reason: 'I am back' })
    done(await root.post(`/v1/identities/${mal.name}/suspend`, { reason: 'laptop stolen' }))
    expect((await rest()).status).toBe(401)
    expect(await statusOf(mal.name)).toBe('suspended')
  })

  test('a person who was offboarded: no right, no way in, no token of a directory', async () => {
    const mal = await people.person(`mal-${x}`, 'directory-admin', 'security-admin')
    const friend = await people.person(`friend-${x}`)
    await Provider.add(server, `hr-${x}`)
    const rests = [
      await post(headersOf(mal), `/v1/scim/providers/hr-${x}/rotate-token`, {}),
      await post(headersOf(mal), '/v1/role-bindings', { role: 'operator', kind: 'identity', subject: friend.id, reason: 'revenge' }),
      await post(headersOf(mal), '/v1/login/links', { identity: root.id, provider: 'corp', subject: `sub-${x}`, reason: 'revenge' }),
      await post(headersOf(mal), `/v1/identities/${friend.name}/suspend`, { reason: 'revenge' }),
    ]
    await offboard(mal)
    for (const rest of rests) expect((await rest()).status).toBe(401)
    expect(await actorsOf('scim_provider.token_rotated', `hr-${x}`)).toEqual([])
    expect(await statusOf(friend.name)).toBe('active')
  })

  test('a person whose role was taken away', async () => {
    const mal = await people.person(`mal-${x}`, 'directory-admin')
    const rest = await post(headersOf(mal), '/v1/teams', { name: `t-${x}` })
    await server.db.store.query('delete from role_binding where subject_id = $1', [mal.id])
    const late = await rest()
    expect([late.status, late.body.code]).toEqual([403, 'forbidden'])
    expect(await teamNamed(`t-${x}`)).toEqual([])
  })

  test('a person whose login has become too old for it', async () => {
    const ada = await people.person(`ada-${x}`, 'security-admin')
    const rest = await post(headersOf(ada), '/v1/tokens', { name: `tk-${x}`, roles: ['operator'], reason: 'tests' })
    await server.db.store.query("update session set authenticated_at = now() - interval '16 minutes' where identity_id = $1", [ada.id])
    const late = await rest()
    expect([late.status, late.body.code, late.body.stepUp.maxAgeSeconds]).toEqual([401, 'step_up_required', 900])
  })

  test('a session of the command line', async () => {
    const ada = await people.person(`ada-${x}`, 'directory-admin')
    const { token, session } = done(await ada.post('/v1/session/command-line', {}))
    const [good, ended] = [
      await post(bearer(token), '/v1/teams', { name: `t-${x}` }),
      await post(bearer(token), '/v1/teams', { name: `u-${x}` }),
    ]
    expect((await good()).status).toBe(201)
    done(await ada.post(`/v1/sessions/${session}/end`, {}))
    expect((await ended()).status).toBe(401)
    expect(await teamNamed(`u-${x}`)).toEqual([])
  })

  test('a directory whose token was revoked: nobody is made, changed or deleted', async () => {
    const hr = await Provider.add(server, `hr-${x}`)
    const id = await hr.user(`sue-${x}`)
    const user = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: `late-${x}` }
    const scim = (method: string, path: string) => server.held(method, `/scim/v2${path}`, bearer(hr.token), user)
    const rests = [await scim('POST', '/Users'), await scim('PUT', `/Users/${id}`), await scim('DELETE', `/Users/${id}`)]
    done(await root.post(`/v1/scim/providers/hr-${x}/revoke`, {}))
    for (const rest of rests) {
      const late = await rest()
      expect([late.status, late.body.schemas]).toEqual([401, ['urn:ietf:params:scim:api:messages:2.0:Error']])
    }
    expect(await server.db.store.query('select name, status from identity where name = $1', [`sue-${x}`])).toEqual([
      { name: `sue-${x}`, status: 'active' },
    ])
    expect(await server.db.store.query('select id from identity where name = $1', [`late-${x}`])).toEqual([])
  })

  test('a directory whose token is good', async () => {
    const hr = await Provider.add(server, `hr-${x}`)
    const user = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: `late-${x}` }
    const rest = await server.held('POST', '/scim/v2/Users', bearer(hr.token), user)
    expect((await rest()).status).toBe(201)
  })
})

describe('a token that counts once', () => {
  let lab: LabIssuer
  beforeAll(async () => {
    lab = await LabIssuer.start()
    await people.made('/v1/identities', { name: 'deploy', kind: 'workload', owner: 'root', purpose: 'deploys', environment: 'prod' })
    await people.made('/v1/issuers', { name: 'ci', type: 'ci', origin: lab.url, audience: 'rekey', keys: { from: 'discovery' } })
    await people.made('/v1/issuers/ci/rules', { identity: 'deploy', claims: { sub: 'repo:acme/shop' } })
    await people.made('/v1/role-bindings', { role: 'directory-admin', kind: 'identity', subject: 'deploy', reason: 'tests' })
  })
  afterAll(() => lab.stop())

  const claims = (seconds = 300) => {
    const at = Math.floor(Date.now() / 1000)
    return { iss: lab.url, sub: 'repo:acme/shop', aud: 'rekey', iat: at, exp: at + seconds, jti: newId() }
  }

  test('is not shown again by its own late body, and is used up all the same', async () => {
    const text = await lab.sign(claims())
    const rest = await post(bearer(text), '/v1/teams', { name: `t-${x}` })
    expect((await rest()).status).toBe(201)
    expect((await server.send('GET', '/v1/status', { token: text })).status).toBe(401)
    const { id } = done(await root.get('/v1/identities/deploy'))
    expect(await actorsOf('team.created', `t-${x}`)).toEqual([`workload:${id}`])
  })

  test('with a proof of possession: that one neither', async () => {
    const key = await labKey('ES256')
    const { kid: _kid, use: _use, ...jwk } = key.publicJwk
    const text = await lab.sign({ ...claims(), cnf: { jkt: await calculateJwkThumbprint(jwk) } })
    const ath = Buffer.from(sha256Hex(Secret.fromText(text)), 'hex').toString('base64url')
    const proof = { htm: 'POST', htu: `${server.url}/v1/teams`, iat: Math.floor(Date.now() / 1000), jti: newId(), ath }
    const dpop = await new SignJWT(proof).setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk }).sign(key.privateKey)
    const headers = { authorization: `DPoP ${text}`, dpop }
    const rest = await post(headers, '/v1/teams', { name: `t-${x}` })
    expect((await rest()).status).toBe(201)
    expect((await server.send('POST', '/v1/teams', { token: null, headers, body: { name: `u-${x}` } })).status).toBe(401)
  })

  test('and whose identity was suspended meanwhile', async () => {
    const rest = await post(bearer(await lab.sign(claims())), '/v1/teams', { name: `t-${x}` })
    done(await root.post('/v1/identities/deploy/suspend', { reason: 'compromised' }))
    expect((await rest()).status).toBe(401)
    done(await root.post('/v1/identities/deploy/resume', { reason: 'clean again' }))
    expect(await teamNamed(`t-${x}`)).toEqual([])
  })
})

describe('a wait that is not for the body', () => {
  test('for a provider that answers late: what it says comes too late as well', async () => {
    const mal = await people.person(`mal-${x}`, 'security-admin')
    const idp = await LabIssuer.start()
    const answer = idp.answer.bind(idp)
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    idp.answer = (...asked) => void gate.then(() => answer(...asked))
    try {
      const body = { name: `p-${x}`, issuer: idp.url, clientId: 'rekey', auth: 'none' }
      const adding = mal.post('/v1/login/providers', body)
      await sleep(ADMITTED_MS * 5)
      await offboard(mal)
      open()
      expect((await adding).status).toBe(401)
      expect(await server.db.store.query('select id from login_provider where name = $1', [`p-${x}`])).toEqual([])
      expect((await root.post('/v1/login/providers', body)).status).toBe(201)
    } finally {
      await idp.stop()
    }
  })

  test('for an equal request: its answer is not for who was stopped, and a key that is free again stays free', async () => {
    const { store } = server.db
    const mal = await people.person(`mal-${x}`, 'directory-admin')
    const body = { name: `t-${x}` }
    const [told, freed] = [`told-${x}`, `freed-${x}`]
    // As if the first of two equal requests were at work: one of them is answered, the other gave its key back.
    for (const key of [told, freed]) await beginAnswer(store, mal.id, key, JSON.stringify(['POST', '/v1/teams', body]))
    const second = [told, freed].map((key) => mal.post('/v1/teams', body, { 'idempotency-key': key }))
    await sleep(ADMITTED_MS * 5)
    await offboard(mal)
    await finishAnswer(store, mal.id, told, 201, { id: newId(), name: 'what was made' })
    await releaseAnswer(store, mal.id, freed)
    for (const answer of await Promise.all(second)) expect([answer.status, answer.text.includes('what was made')]).toEqual([401, false])
    expect(await store.query('select key from idempotency where key = $1', [freed])).toEqual([])
    expect(await teamNamed(`t-${x}`)).toEqual([])
  })
})

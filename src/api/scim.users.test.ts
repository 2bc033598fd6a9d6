/** Users over HTTP: joiner, mover, leaver, and what a provider may not see. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { findIdentity, fsckIdentities } from '../identity/index.ts'
import { offboardDue } from '../identity/scim/index.ts'
import { makeCtx, newId, systemClock } from '../kernel/index.ts'
import { ENTERPRISE, Provider } from './routes/scim/testing.ts'
import { TestServer } from './testing.ts'

const DAY_MS = 86_400_000
let server: TestServer
let entra: Provider
let okta: Provider
beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: 100_000 })
  entra = await Provider.add(server, 'entra', { offboardAfterSeconds: 7 * 86_400 })
  okta = await Provider.add(server, 'okta', { tenancy: 'acme' })
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

let count = 0
const fresh = (name = 'ada') => `${name}${++count}@example.com`

/** The identity behind a user. */
async function identityOf(user: string) {
  const [row] = await server.db.store.query<{ identity_id: string }>('select identity_id from scim_user where id = $1', [user])
  const identity = await findIdentity(server.db.store, row?.identity_id ?? '')
  if (identity === null) throw new Error('no identity')
  return identity
}

async function events(identity: string): Promise<string[]> {
  const rows = await server.db.store.query<{ type: string }>(
    "select body::jsonb ->> 'type' as type from evidence_event where body::jsonb -> 'links' ->> 'identity' = $1 order by id",
    [identity],
  )
  return rows.map(({ type }) => type)
}

/** The reconciler, days from now; as another process would run it, which knows nothing but the rows. */
function offboardIn(days: number): Promise<number> {
  const clock = { ...systemClock, now: () => new Date(systemClock.now().getTime() + days * DAY_MS) }
  return offboardDue(server.db.store, makeCtx('test', 'test', { clock }))
}

test('a joiner becomes an identity of kind human, of the tenancy of the provider, with labels and external id', async () => {
  const userName = fresh()
  const manager = await okta.user(fresh('boss'))
  const id = await okta.user(userName, {
    externalId: 'x-17',
    displayName: 'Ada Lovelace',
    [ENTERPRISE]: { department: 'Engines', manager: { value: manager } },
  })
  expect(await identityOf(id)).toMatchObject({
    name: userName,
    kind: 'human',
    status: 'active',
    tenancy: 'acme',
    source: 'scim:okta',
    labels: { department: 'Engines', 'display-name': 'Ada Lovelace' },
    externalIds: [{ source: 'scim:okta', id: 'x-17' }],
    manager: (await identityOf(manager)).id,
  })
  const shown = await okta.get(`/Users/${id}`)
  expect(shown.status).toBe(200)
  expect(shown.headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
  expect(shown.headers.get('etag')).toBe('W/"1"')
  expect(shown.body).toMatchObject({
    id,
    userName,
    active: true,
    [ENTERPRISE]: { manager: { value: manager, $ref: `${server.url}/scim/v2/Users/${manager}` } },
    meta: {
      resourceType: 'User',
      version: 'W/"1"',
      location: expect.stringMatching(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/scim/v2/Users/${id}$`)),
    },
  })
  const [listed] = (await okta.get(`/Users?filter=${encodeURIComponent(`userName eq "${userName}"`)}`)).body.Resources
  expect(listed.meta.location).toBe(shown.body.meta.location)
  // Who has this version is sent nothing; who has another one, or names none, gets it.
  const again = await okta.send('GET', `/Users/${id}`, undefined, { 'if-none-match': 'W/"7", W/"1"' })
  expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', 'W/"1"'])
  expect((await okta.send('GET', `/Users/${id}`, undefined, { 'if-none-match': 'W/"2"' })).status).toBe(200)
})

test('a mover: name, department and manager reach the record; labels of others stay', async () => {
  const id = await entra.user(fresh(), { [ENTERPRISE]: { department: 'Old' } })
  const identity = await identityOf(id)
  await server.db.store.query("insert into identity_label (identity_id, identity_name, key, value) values ($1, $2, 'own', 'stays')", [
    identity.id,
    identity.name,
  ])
  const manager = await entra.user(fresh('boss'))
  const userName = fresh('king')
  const answer = await entra.patch(
    `/Users/${id}`,
    { op: 'replace', path: 'userName', value: userName },
    { op: 'Add', path: `${ENTERPRISE}:manager`, value: manager },
    { op: 'Replace', value: { [`${ENTERPRISE}:department`]: 'New' } },
  )
  expect(answer.status).toBe(200)
  expect(await identityOf(id)).toMatchObject({
    id: identity.id,
    name: userName,
    labels: { department: 'New', own: 'stays' },
    manager: (await identityOf(manager)).id,
  })
})

test.each([
  ['Entra ID, path', { op: 'Replace', path: 'active', value: 'False' }],
  ['Okta, no path', { op: 'replace', value: { active: false } }],
])('a leaver as %s: suspended at once, shown and found as before, offboarded after the delay', async (_, operation) => {
  const userName = fresh()
  const id = await entra.user(userName)
  expect((await entra.patch(`/Users/${id}`, operation)).body.active).toBe(false)
  const { id: identity } = await identityOf(id)
  expect((await identityOf(id)).status).toBe('suspended')
  expect((await entra.find('/Users', `userName eq "${userName}"`)).body.Resources).toMatchObject([{ id, active: false }])
  await offboardIn(6.9)
  expect((await identityOf(id)).status).toBe('suspended')
  await offboardIn(7.1)
  expect((await identityOf(id)).status).toBe('offboarded')
  expect((await entra.get(`/Users/${id}`)).body).toMatchObject({ id, active: false })
  expect(await events(identity)).toEqual([
    'identity.joined',
    'scim_user.stands',
    'identity.suspended',
    'identity.offboarding_scheduled',
    'scim_user.stands',
    'identity.handed_over',
    'identity.offboarded',
    'scim_user.stands',
  ])
})

test('the same word again does not put the end off; true in between cancels it', async () => {
  const id = await entra.user(fresh())
  const set = (active: boolean) => entra.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: active })
  const due = () => server.db.store.query('select offboard_at from scim_user where id = $1', [id])
  await set(false)
  const first = await due()
  await set(false)
  await entra.patch(`/Users/${id}`, { op: 'remove', path: 'active' })
  await set(false)
  expect(await due()).toEqual(first)
  await set(true)
  expect((await identityOf(id)).status).toBe('active')
  await offboardIn(30)
  expect((await identityOf(id)).status).toBe('active')
})

test('who comes back after the offboarding is a new identity, in the groups of the user', async () => {
  const id = await entra.user(fresh(), { externalId: 'returner' })
  const group = await entra.group('returners', [id])
  const before = await identityOf(id)
  await entra.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: false })
  await offboardIn(8)
  expect((await entra.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: true })).status).toBe(200)
  const after = await identityOf(id)
  expect(after).toMatchObject({
    status: 'active',
    name: `${before.name} (entra)`,
    teams: [{ id: group }],
    externalIds: [{ id: 'returner' }],
  })
  expect(after.id).not.toBe(before.id)
  expect((await findIdentity(server.db.store, before.id))?.status).toBe('offboarded')
})

test('what others suspended is not resumed by a provider, and what a human resumed is not offboarded', async () => {
  const [kept, resumed] = [await entra.user(fresh()), await entra.user(fresh())]
  const store = server.db.store
  const { suspendIdentity, resumeIdentity } = await import('../identity/index.ts')
  const ctx = makeCtx('test', 'test')
  const keptIdentity = (await identityOf(kept)).id
  await store.inTx((tx) => suspendIdentity(tx, ctx, keptIdentity, 'incident'))
  for (const active of [false, true]) await entra.patch(`/Users/${kept}`, { op: 'replace', path: 'active', value: active })
  expect((await identityOf(kept)).status).toBe('suspended')
  await entra.patch(`/Users/${resumed}`, { op: 'replace', path: 'active', value: false })
  const { id: resumedIdentity } = await identityOf(resumed)
  await store.inTx((tx) => resumeIdentity(tx, ctx, resumedIdentity, 'a mistake'))
  await offboardIn(8)
  expect((await identityOf(resumed)).status).toBe('active')
  expect(await events(resumedIdentity)).toContain('identity.offboarding_cancelled')
})

test.each([
  ['after the provider', ['false', 'bar', 'true']],
  ['after a person had brought it back', ['false', 'resume', 'bar', 'true']],
  ['before the provider', ['bar', 'false', 'true']],
])('whom a person suspends %s is not brought back by the provider, and by a person is', async (_when, steps) => {
  const userName = fresh()
  const id = await entra.user(userName)
  const by = { bar: 'suspend', resume: 'resume' } as const
  for (const step of steps) {
    if (step === 'bar' || step === 'resume') {
      const done = await server.post(`/v1/identities/${userName}/${by[step]}`, { reason: 'laptop stolen' })
      expect(done.status, done.text).toBe(200)
    } else {
      expect((await entra.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: step === 'true' })).status).toBe(200)
    }
  }
  expect((await identityOf(id)).status).toBe('suspended')
  expect(await offboardIn(30)).toBe(0)
  expect((await events((await identityOf(id)).id)).filter((type) => type === 'identity.resumed')).toHaveLength(
    steps.includes('resume') ? 1 : 0,
  )
  const findings = async () => (await fsckIdentities(server.db.store)).filter(({ where }) => where.endsWith(userName))
  expect(await findings()).toEqual([])
  await server.db.store.query('update identity set barred = false where name = $1', [userName])
  expect(await findings()).toHaveLength(1)
  await server.db.store.query('update identity set barred = true where name = $1', [userName])
  expect((await server.post(`/v1/identities/${userName}/resume`, { reason: 'found again' })).status).toBe(200)
  expect((await identityOf(id)).status).toBe('active')
})

test('PUT without active lets nobody in again, and clears the rest', async () => {
  const userName = fresh()
  const id = await entra.user(userName, { title: 'T', active: false })
  expect((await identityOf(id)).status).toBe('suspended')
  const put = await entra.send('PUT', `/Users/${id}`, { userName })
  expect(put.body).toMatchObject({ id, userName, active: false })
  expect(put.body).not.toHaveProperty('title')
  expect((await identityOf(id)).status).toBe('suspended')
})

test('DELETE: gone from SCIM, suspended at once, offboarded after the delay; the name is free again', async () => {
  const userName = fresh()
  const id = await entra.user(userName)
  const group = await entra.group('leavers', [id])
  const { id: identity } = await identityOf(id)
  expect((await entra.send('DELETE', `/Users/${id}`)).status).toBe(204)
  expect((await findIdentity(server.db.store, identity))?.status).toBe('suspended')
  for (const [method, body] of [
    ['GET'],
    ['PUT', { userName }],
    ['PATCH', { Operations: [{ op: 'remove', path: 'title' }] }],
    ['DELETE'],
  ] as const) {
    expect((await entra.send(method, `/Users/${id}`, body)).status).toBe(404)
  }
  expect((await entra.find('/Users', `userName eq "${userName}"`)).body.totalResults).toBe(0)
  expect(await entra.members(group)).toEqual([])
  const again = await entra.user(userName)
  expect((await identityOf(again)).id).not.toBe(identity)
  await offboardIn(8)
  expect((await findIdentity(server.db.store, identity))?.status).toBe('offboarded')
  expect(await server.db.store.query('select id from scim_user where id = $1', [id])).toEqual([])
  expect((await identityOf(again)).status).toBe('active')
})

test('two reconcilers at once settle each row once', async () => {
  const ids = await Promise.all(Array.from({ length: 12 }, () => entra.user(fresh(), { active: false })))
  const identities = await Promise.all(ids.map(identityOf))
  const settled = await Promise.all([offboardIn(8), offboardIn(8), offboardIn(8)])
  expect(settled.reduce((sum, one) => sum + one, 0)).toBeGreaterThanOrEqual(12)
  for (const { id } of identities) expect((await events(id)).filter((type) => type === 'identity.offboarded')).toHaveLength(1)
})

test('userName is unique in a provider, without case, also in a race; two providers may use one name', async () => {
  const userName = fresh()
  const all = await Promise.all([
    ...Array.from({ length: 6 }, (_, n) => entra.send('POST', '/Users', { userName: n % 2 ? userName.toUpperCase() : userName })),
    okta.send('POST', '/Users', { userName }),
  ])
  expect(
    all
      .slice(0, 6)
      .map(({ status }) => status)
      .sort(),
  ).toEqual([201, 409, 409, 409, 409, 409])
  expect(all[6]?.status).toBe(201)
  const refused = all.find(({ status }) => status === 409)
  expect(refused?.body).toEqual({
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: '409',
    scimType: 'uniqueness',
    detail: 'Another user has this userName.',
  })
  const other = await entra.user(fresh())
  expect((await entra.patch(`/Users/${other}`, { op: 'replace', path: 'userName', value: userName })).body.scimType).toBe('uniqueness')
})

test("another provider's resource is answered byte for byte as one that does not exist", async () => {
  const user = await okta.user(fresh())
  const group = await okta.group('secret group', [user])
  const userName = fresh()
  const ask = async (id: string, type: string) => {
    const body = type === 'Users' ? { userName } : { displayName: 'x' }
    const mine = await entra.user(fresh())
    const own = await entra.group('own')
    return [
      await entra.get(`/${type}/${id}`),
      await entra.send('PUT', `/${type}/${id}`, body),
      await entra.patch(`/${type}/${id}`, { op: 'remove', path: 'externalId' }),
      await entra.send('DELETE', `/${type}/${id}`),
      await entra.find(`/${type}`, `id eq "${id}"`),
      await entra.find('/Groups', `members.value eq "${id}"`),
      await entra.patch(`/Groups/${own}`, { op: 'add', path: 'members', value: [{ value: id }] }),
      await entra.send('POST', '/Groups', { displayName: 'x', members: [{ value: id }] }),
      await entra.patch(`/Groups/${own}`, { op: 'remove', path: `members[value eq "${id}"]` }),
      await entra.patch(`/Users/${mine}?attributes=${ENTERPRISE}`, { op: 'add', path: `${ENTERPRISE}:manager`, value: id }),
    ].map(({ status, text, headers }) => [status, text.replaceAll(id, '*').replaceAll(mine, '+'), headers.get('etag')])
  }
  for (const [id, type] of [
    [user, 'Users'],
    [group, 'Groups'],
  ] as const) {
    expect(await ask(id, type)).toEqual(await ask(newId(), type))
  }
  expect((await okta.get(`/Users/${user}`)).status).toBe(200)
  expect((await okta.get(`/Groups/${group}`)).body.members).toHaveLength(1)
})

test('If-Match: the version at hand or none', async () => {
  const id = await entra.user(fresh())
  const body = { Operations: [{ op: 'replace', path: 'title', value: 'T' }] }
  for (const tag of ['W/"2"', '"0"', 'nonsense']) {
    const refused = await entra.send('PATCH', `/Users/${id}`, body, { 'if-match': tag })
    expect(refused.status).toBe(412)
  }
  const done = await entra.send('PATCH', `/Users/${id}`, body, { 'if-match': 'W/"9", "1"' })
  expect([done.status, done.headers.get('etag'), done.body.meta.version]).toEqual([200, 'W/"2"', 'W/"2"'])
  // Nothing differs: no new version.
  expect((await entra.send('PATCH', `/Users/${id}`, body, { 'if-match': '*' })).headers.get('etag')).toBe('W/"2"')
  expect((await entra.send('DELETE', `/Users/${id}`, undefined, { 'if-match': 'W/"1"' })).status).toBe(412)
  expect((await entra.send('DELETE', `/Users/${id}`, undefined, { 'if-match': 'W/"2"' })).status).toBe(204)
})

test('a password is neither stored nor shown', async () => {
  const password = `pw-${newId()}`
  const answer = await entra.send('POST', '/Users', { userName: fresh(), password, PassWord: password })
  await entra.patch(`/Users/${answer.body.id}`, { op: 'replace', value: { password } })
  expect(answer.status).toBe(201)
  expect(answer.text + (await entra.get(`/Users/${answer.body.id}`)).text).not.toContain(password)
  const [kept] = await server.db.store.query<{ all: string }>(
    "select (select string_agg(u::text, ' ') from scim_user u) || (select string_agg(e::text, ' ') from evidence_event e) as all",
  )
  expect(kept?.all).not.toContain(password)
  expect(JSON.stringify(server.lines)).not.toContain(password)
})

test.each([
  ['{', 'invalidSyntax'],
  ['[]', 'invalidSyntax'],
  ['null', 'invalidSyntax'],
  [{}, 'invalidValue'],
  [{ userName: '' }, 'invalidValue'],
  [{ userName: 'x'.repeat(201) }, 'invalidValue'],
  [{ userName: 'paypаl' }, 'invalidValue'],
  [{ userName: 'a', emails: 'x'.repeat(2_000) }, 'invalidValue'],
  [{ schemas: ['urn:other'], userName: 'a' }, 'invalidValue'],
])('POST of %j is refused with %s', async (body, scimType) => {
  const answer = await entra.send('POST', '/Users', body)
  expect([answer.status, answer.body.scimType]).toEqual([400, scimType])
})

test('bodies of another type or size are refused as SCIM refuses', async () => {
  const other = await entra.send('POST', '/Users', '{}', { 'content-type': 'text/plain' })
  expect([other.status, other.body.status]).toEqual([415, '415'])
  const large = await entra.send('POST', '/Users', { userName: 'x', title: 'x'.repeat(300_000) })
  expect([large.status, large.body.status]).toEqual([413, '413'])
  const json = await entra.send('POST', '/Users', JSON.stringify({ userName: fresh() }), {
    'content-type': 'application/json; charset=utf-8',
  })
  expect(json.status).toBe(201)
})

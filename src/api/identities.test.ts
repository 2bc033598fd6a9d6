import { afterEach, beforeEach, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeEach(async () => {
  server = await TestServer.start()
})
afterEach(async () => {
  expect(server.undeclared()).toEqual([])
  await server.stop()
})

const human = (name: string, more: object = {}) => server.post('/v1/identities', { name, kind: 'human', ...more })
const workload = (name: string, owner: string, more: object = {}) =>
  server.post('/v1/identities', { name, kind: 'workload', owner, purpose: 'serves', environment: 'prod', ...more })
const names = async (query: string) =>
  (await server.get(`/v1/identities?${query}`)).body.items.map((it: { readonly name: string }) => it.name)

/** A token that holds one role and is limited by nothing else. */
async function tokenOf(role: string): Promise<string> {
  const [text, id] = [`rekey_${newId()}`, newId()]
  await server.db.store.query("insert into api_token (id, name, hash) values ($1, $2, sha256(convert_to($3, 'UTF8')))", [id, role, text])
  await server.db.store.query(
    "insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, 'token', $3, 'test', 'test')",
    [newId(), role, id],
  )
  return text
}

test('a joiner is found by id and by name, in the list and under every filter', async () => {
  const ada = await human('ada', { labels: { site: 'paris' } })
  expect(ada.status).toBe(201)
  await workload('api', 'ada', { entitlements: [{ system: 'db', account: 'api', role: 'writer' }], reason: undefined })
  for (const key of [ada.body.id, 'ada']) expect((await server.get(`/v1/identities/${key}`)).body).toEqual(ada.body)
  expect(await names('')).toEqual(['ada', 'api'])
  expect(await names('kind=human&status=active&label=site%3Dparis&prefix=a&source=api&tenancy=default')).toEqual(['ada'])
  expect(await names('owner=ada&environment=prod')).toEqual(['api'])
  expect(await names('owner=nobody')).toEqual([])
  const first = await server.get('/v1/identities?limit=1')
  const rest = `limit=1&after=${first.body.next}`
  expect((await server.get(`/v1/identities?${rest}`)).body).toMatchObject({ items: [{ name: 'api' }], next: null })
  expect(await names(`owner=${ada.body.id}&${rest}`)).toEqual(['api'])
  expect((await server.get('/v1/identities?limit=1&after=ada')).body.code, 'nobody makes one up').toBe('bad_input')
})

test('what fleet.yaml declares keeps its fields, with those of the record beside them', async () => {
  await server.declare(1)
  const { items } = (await server.get('/v1/identities')).body
  expect(items).toMatchObject([
    { name: 'app', kind: 'workload', owner: 'team', purpose: 'tests', environment: 'test', status: 'active', ownerState: 'unresolved' },
  ])
  await server.post('/v1/teams', { name: 'team' })
  expect((await server.get('/v1/identities/app')).body).toMatchObject({ owner: 'team', ownerState: 'team_without_people' })
})

test('what a directory manages is neither missing from a fleet file nor removed by one', async () => {
  await human('ada')
  const { text, folder } = { text: 'version: 1\n', folder: server.folder }
  expect((await server.post('/v1/fleet/diff', { text, folder })).body.changes).toEqual([])
})

test('suspend, resume and offboard; each again is the same answer', async () => {
  await human('ada')
  for (const [verb, status] of [
    ['suspend', 'suspended'],
    ['resume', 'active'],
    ['offboard', 'offboarded'],
  ]) {
    for (let twice = 0; twice < 2; twice++) {
      const answer = await server.post(`/v1/identities/ada/${verb}`, { reason: 'because' })
      expect([answer.status, answer.body.status]).toEqual([200, status])
    }
  }
  expect((await server.post('/v1/identities/ada/resume', { reason: 'because' })).body.code).toBe('wrong_state')
  expect((await server.post('/v1/identities/ada/move', { purpose: 'x' })).body.code).toBe('wrong_state')
  expect((await server.post('/v1/identities/ada/suspend', {})).status).toBe(400)
  expect((await server.post('/v1/identities/nobody/suspend', { reason: 'x' })).status).toBe(404)
})

test('a repeated request with its key joins once', async () => {
  const key = { 'idempotency-key': newId() }
  const [one, two] = [await server.send('POST', '/v1/identities', { body: { name: 'ada', kind: 'human' }, headers: key }), null]
  const again = two ?? (await server.send('POST', '/v1/identities', { body: { name: 'ada', kind: 'human' }, headers: key }))
  expect([one.status, again.status, again.body.id]).toEqual([201, 201, one.body.id])
})

test.each([
  ['a control character', { name: 'a\u001b[2J' }],
  ['a line break', { name: 'a\nb' }],
  ['a hidden turn of direction', { name: 'a\u202eb' }],
  ['two alphabets in a word', { name: 'p\u0430ypal' }],
  ['a name too long', { name: 'x'.repeat(201) }],
  ['half a surrogate pair', { name: 'a\ud800' }],
  ['10,000 labels', { name: 'a', labels: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`k${n}`, 'v'])) }],
  ['a label too long', { name: 'a', labels: { k: 'v'.repeat(100_000) } }],
  ['a label with a control character', { name: 'a', labels: { k: '\u0007' } }],
  ['an assurance level of 4', { name: 'a', ial: { level: 4, source: 'hr', at: '2026-01-01T00:00:00Z' } }],
  ['a manager of oneself', { name: 'a', manager: 'a' }],
  ['an own source', { name: 'a', source: 'scim:okta' }],
])('%s is refused, and nothing is kept', async (_what, body) => {
  const answer = await server.post('/v1/identities', { kind: 'human', ...body })
  expect([400, 404, 413]).toContain(answer.status)
  expect(answer.text.length).toBeLessThan(5_000)
  expect(await names('')).toEqual([])
})

test('teams are made, filled, shown and found by id; two of one name are told apart', async () => {
  const ada = (await human('ada')).body
  const [one, two] = [
    (await server.post('/v1/teams', { name: 'crew' })).body,
    (await server.post('/v1/teams', { name: 'crew', tenancy: 'b' })).body,
  ]
  expect((await server.get('/v1/teams/crew')).body.code).toBe('conflict')
  const members = { add: { identities: [ada.id], teams: [two.id] } }
  expect((await server.post(`/v1/teams/${one.id}/members`, members)).status).toBe(200)
  expect((await server.post(`/v1/teams/${two.id}/members`, { add: { teams: [one.id] } })).body.code).toBe('conflict')
  expect((await server.get(`/v1/teams/${one.id}`)).body).toMatchObject({ people: 1, owns: 0, nested: [{ id: two.id }], parents: [] })
  expect((await server.get('/v1/teams?name=crew&tenancy=b')).body.items).toHaveLength(1)
  const page = (await server.get('/v1/teams?limit=1')).body
  expect(page.items).toMatchObject([{ name: 'security-contact', source: 'rekey' }])
  expect((await server.get(`/v1/teams?limit=5&after=${page.next}`)).body.items).toHaveLength(2)
  await server.db.store.query("update team set source = 'scim:x' where id = $1", [one.id])
  expect((await server.post(`/v1/teams/${one.id}/members`, members)).body.code).toBe('conflict')
})

test('who may rotate may not move people, and who moves people may not rotate', async () => {
  const ada = (await human('ada')).body
  const [operator, directory] = [await tokenOf('operator'), await tokenOf('directory-admin')]
  const send = (token: string, verb: string) =>
    server.send('POST', `/v1/identities/ada/${verb}`, { token, body: verb === 'move' ? { purpose: 'p' } : { reason: 'because' } })
  for (const verb of ['move', 'suspend', 'resume', 'offboard']) expect((await send(operator, verb)).status).toBe(403)
  expect((await server.send('POST', '/v1/identities', { token: operator, body: { name: 'eve', kind: 'human' } })).status).toBe(403)
  expect((await server.send('POST', '/v1/teams', { token: operator, body: { name: 'crew' } })).status).toBe(403)
  expect((await send(directory, 'suspend')).status).toBe(200)
  // What an offboarding would do is told to who may order it.
  for (const token of [operator, directory]) {
    expect((await server.send('GET', '/v1/identities/ada/closure-plan', { token })).status).toBe(200)
  }
  expect((await server.send('GET', '/v1/closures', { token: directory })).status).toBe(403)
  expect((await server.send('POST', '/v1/rotations', { token: directory, body: { all: true } })).status).toBe(403)
  expect((await server.send('GET', `/v1/identities/${ada.id}`, { token: await tokenOf('nothing') })).status).toBe(403)
})

test('what the asker may not read is the same as what is not there', async () => {
  await human('ada')
  await workload('api', 'ada')
  const own = `@id("x") permit (principal in Role::"half", action == Action::"identity:read", resource is Installation);
@id("y") permit (principal in Role::"half", action == Action::"identity:read", resource is Identity)
when { resource has environment && resource.environment == "prod" };`
  const { overlay, readPolicies, defaultFiles } = await import('../policy/index.ts')
  server.parts.policies.replace(readPolicies(overlay(defaultFiles(), [{ name: 'own.cedar', text: own }])))
  const token = await tokenOf('half')
  const get = (path: string) => server.send('GET', path, { token })
  expect((await get('/v1/identities/api')).status).toBe(200)
  const [hidden, absent] = [await get('/v1/identities/ada'), await get('/v1/identities/eve')]
  expect(hidden.status).toBe(404)
  expect(hidden.text).toBe(absent.text.replaceAll('eve', 'ada'))
  expect((await get('/v1/identities')).body.items.map((it: { readonly name: string }) => it.name)).toEqual(['api'])
})

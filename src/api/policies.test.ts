/** Policies and roles over HTTP: what is decided and why, and how it changes. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const NIGHT = { name: 'night.cedar', text: 'permit (principal in Role::"night", action == Action::"rotation:start", resource);\n' }
const explain = async (body: object) => (await server.post('/v1/policies/explain', body)).body
const active = async () => (await server.get('/v1/policies/active')).body

test('roles of a team, through nested teams, are roles of its members', async () => {
  const ada = (await server.post('/v1/identities', { name: 'ada', kind: 'human' })).body.id
  const [inner, outer] = [
    (await server.post('/v1/teams', { name: 'inner' })).body.id,
    (await server.post('/v1/teams', { name: 'outer' })).body.id,
  ]
  await server.post(`/v1/teams/${inner}/members`, { add: { identities: [ada] } })
  await server.post(`/v1/teams/${outer}/members`, { add: { teams: [inner] } })
  const bound = await server.post('/v1/role-bindings', { role: 'operator', kind: 'team', subject: outer, reason: 'the night shift' })
  expect(bound.status).toBe(201)
  const asked = { action: 'rotation:start', holder: { kind: 'identity', name: 'ada' }, principal: { aal: 2, minutesSinceLogin: 3 } }
  expect(await explain(asked)).toMatchObject({ allowed: true, policies: ['operator/runs'], roles: ['operator'] })
  expect(await explain({ ...asked, holder: { kind: 'identity', name: 'nobody' } })).toMatchObject({ code: 'not_found' })
  const gone = await server.post(`/v1/role-bindings/${bound.body.id}/unbind`, { reason: 'not any more' })
  expect(gone.status).toBe(200)
  expect(await explain(asked)).toMatchObject({ allowed: false, reason: 'unpermitted', roles: [] })
})

test('what a person is written to be does not outweigh what is on record', async () => {
  await server.post('/v1/identities', { name: 'bot', kind: 'agent', owner: 'ada', purpose: 'helps', environment: 'test' })
  const asked = {
    action: 'token:create',
    holder: { kind: 'identity', name: 'bot' },
    principal: { kind: 'person', aal: 3, roles: ['security-admin'] },
  }
  expect(await explain(asked)).toMatchObject({ allowed: false, policies: ['limits/agents-control-nothing'], stepUp: null })
})

test('a set is proposed, shown with what it changes, and counts only when it is in force', async () => {
  const before = await active()
  const faulty = await server.post('/v1/policies', { files: [{ ...NIGHT, text: 'permit (' }], reason: 'nights' })
  expect([faulty.status, faulty.body.code, faulty.body.faults[0].path]).toEqual([422, 'policy_invalid', 'night.cedar'])
  const proposed = (await server.post('/v1/policies', { files: [NIGHT], reason: 'nights' })).body
  expect(proposed.changes).toEqual([{ file: 'night.cedar', change: 'added', lines: [`+${NIGHT.text.trim()}`] }])
  const night = { action: 'rotation:start', principal: { kind: 'workload', roles: ['night'] } }
  expect((await explain(night)).allowed).toBe(false)
  const path = `/v1/policies/${proposed.id}`
  // No token approves, whatever its role; and what is approved is a digest.
  expect((await server.post(`${path}/approve`, { digest: proposed.digest, reason: 'read it' })).status).toBe(403)
  const other = proposed.digest.replace(/^./, (digit: string) => (digit === '0' ? '1' : '0'))
  expect((await server.post(`${path}/bypass`, { digest: other, reason: 'nobody else is here' })).status).toBe(409)
  expect((await server.post(`${path}/bypass`, { digest: proposed.digest, reason: 'short' })).status).toBe(400)
  expect((await active()).id).toBe(before.id)
  const done = await server.post(`${path}/bypass`, { digest: proposed.digest, reason: 'nobody else is here' })
  expect(done.body).toMatchObject({ state: 'active', bypassReason: 'nobody else is here' })
  expect(await explain(night)).toMatchObject({ allowed: true, policies: ['night'] })
  expect((await server.post(`${path}/bypass`, { digest: proposed.digest, reason: 'nobody else is here' })).status).toBe(409)
  expect((await server.get('/v1/roles')).body.items.map(({ role }: { role: string }) => role)).toContain('night')
})

test('a role with both hands is refused in a set, unless its policy says why', async () => {
  const both = 'permit (principal in Role::"both", action in [Action::"identity:join", Action::"rotation:start"], resource);'
  const refused = await server.post('/v1/policies/diff', { files: [{ name: 'both.cedar', text: both }] })
  expect(refused.body.faults[0].message).toMatch(/Role::"both" holds directory rights and credential rights/)
  const forced = await server.post('/v1/policies/diff', {
    files: [{ name: 'both.cedar', text: `@forced("two people run all of it")\n${both}` }],
  })
  expect(forced.status).toBe(200)
})

test('a set by which nobody could change policy any more is refused', async () => {
  const files = ['bootstrap-admin', 'security-admin'].map((role) => ({
    name: `${role}.cedar`,
    text: `permit (principal in Role::"${role}", action == Action::"status:read", resource);`,
  }))
  const refused = await server.post('/v1/policies', { files, reason: 'tidy' })
  expect([refused.status, refused.body.code]).toEqual([409, 'wrong_state'])
})

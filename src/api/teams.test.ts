/** Names and ends of teams over HTTP: what a team is needed for is said, and nothing of it is lost. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { done, People } from './routes/tokens/testing.ts'

let people: People
beforeAll(async () => {
  people = await People.start()
})
afterAll(() => people.stop())
afterEach(() => expect(people.server.undeclared()).toEqual([]))

const team = async (name = `t ${newId()}`): Promise<string> => done(await people.server.post('/v1/teams', { name })).id
const remove = (id: string) => people.server.post(`/v1/teams/${id}/remove`, { reason: 'not needed any more' })
const refusal = async (id: string) => {
  const { status, body } = await remove(id)
  expect([status, body.code]).toEqual([409, 'wrong_state'])
  return body.detail as string
}
const events = (id: string) =>
  people.server.db.store.query<{ type: string; subject: string; data: object }>(
    `select body::jsonb ->> 'type' as type, body::jsonb ->> 'subject' as subject, body::jsonb -> 'data' as data
       from evidence_event where body::jsonb -> 'links' ->> 'team' = $1 order by id`,
    [id],
  )

test('a team gets another name and stays what it is; its removal is on record, and a second one finds nothing', async () => {
  const id = await team()
  const name = `n ${newId()}`
  expect(done(await people.server.post(`/v1/teams/${id}/rename`, { name }))).toMatchObject({ id, name })
  expect((await people.server.post(`/v1/teams/${id}/rename`, { name: '' })).status).toBe(400)
  expect((await remove(name)).status).toBe(200)
  expect((await remove(id)).status).toBe(404)
  expect((await people.server.post(`/v1/teams/${id}/rename`, { name })).status).toBe(404)
  expect((await events(id)).map(({ type, subject }) => `${type} ${subject}`).slice(1)).toEqual([
    `team.changed ${name}`,
    `team.removed ${name}`,
  ])
  expect((await events(id)).at(-1)?.data).toMatchObject({ reason: 'not needed any more' })
})

test('the team that is always there, and a directory\u2019s, are neither renamed nor removed by hand', async () => {
  const corp = await Provider.add(people.server, 'corp')
  const group = await corp.group('given')
  for (const [id, code] of [
    ['security-contact', 'wrong_state'],
    [group, 'conflict'],
  ] as const) {
    expect((await remove(id)).body.code).toBe(code)
    expect((await people.server.post(`/v1/teams/${id}/rename`, { name: 'mine' })).body.code).toBe(code)
  }
})

test('what a team is needed for is in the way, and all of it is said', async () => {
  const id = await team()
  const ada = await people.person(`ada ${newId()}`, 'security-admin')
  await people.server.post(`/v1/teams/${id}/members`, { add: { identities: [ada.id] } })
  const owner = { kind: 'workload', owner: `team:${id}`, purpose: 'tests', environment: 'test' }
  const app = done(await people.server.post('/v1/identities', { name: `app ${newId()}`, ...owner })).id
  expect(await refusal(id)).toMatch(/it answers for 1 identity\.$/)
  await people.server.post('/v1/role-bindings', { role: 'auditor', kind: 'team', subject: id, reason: 'looks on' })
  await people.made('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team: id, count: 1 }], reason: 'two pairs of eyes' })
  expect(await refusal(id)).toMatch(/1 identity; it holds roles, .*: auditor; it approves identity:offboard\.$/)

  // One after the other is given to others; the last refusal is about what people were asked.
  // Of somebody else: what a team of one human owns is theirs, and whom a request is about does not decide it.
  const other = done(await people.server.post('/v1/identities', { name: `other ${newId()}`, kind: 'human' })).id
  const asked = await people.server.post(`/v1/identities/${other}/offboard`, { reason: 'gone' })
  expect(asked.body.code).toBe('approval_required')
  await people.server.post('/v1/approval-rules/identity:offboard/remove', { reason: 'done' })
  await people.server.post(`/v1/identities/${app}/move`, { owner: `person:${ada.id}` })
  const bindings = (await people.server.get('/v1/role-bindings')).body.items as { id: string; subject: string }[]
  const bound = bindings.find(({ subject }) => subject === id)?.id
  await people.server.post(`/v1/role-bindings/${bound}/unbind`, { reason: 'done' })
  expect(await refusal(id)).toMatch(/is needed: 1 open request for approval ask it\.$/)
  await people.server.post(`/v1/approvals/${asked.body.approval}/withdraw`, { reason: 'done' })

  // Nested in a team that holds roles it gives these; on its own it is free to go, with its members.
  const around = await team()
  await people.server.post(`/v1/teams/${around}/members`, { add: { teams: [id] } })
  await people.server.post('/v1/role-bindings', { role: 'auditor', kind: 'team', subject: around, reason: 'looks on' })
  expect(await refusal(id)).toMatch(/or is nested in a team that does: auditor\.$/)
  await people.server.post(`/v1/teams/${around}/members`, { remove: { teams: [id] }, reason: 'leaves it' })
  expect((await remove(id)).status).toBe(200)
  expect(await people.server.db.store.query('select from team_member where team_id = $1', [id])).toEqual([])
})

test('managers make no circle, not even when both halves come at once; what a directory says does not make one either', async () => {
  const [a, b, c] = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => done(await people.server.post('/v1/identities', { name: `${name} ${newId()}`, kind: 'human' })).id),
  )
  const manage = (of: string, manager: string | null) => people.server.post(`/v1/identities/${of}/move`, { manager })
  expect((await manage(a, b)).status).toBe(200)
  expect((await manage(b, c)).status).toBe(200)
  expect((await manage(c, a)).body.code).toBe('conflict')
  expect((await manage(a, b)).status).toBe(200)
  await manage(a, null)
  const [one, other] = await Promise.all([manage(a, c), manage(c, a)])
  expect([one.status, other.status].sort()).toEqual([200, 409])

  const okta = await Provider.add(people.server, 'okta')
  const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
  const x = await okta.user(`x${newId()}@example.com`)
  const y = await okta.user(`y${newId()}@example.com`, { [ENTERPRISE]: { manager: { value: x } } })
  const swapped = await okta.patch(`/Users/${x}`, { op: 'add', path: `${ENTERPRISE}:manager`, value: { value: y } })
  expect([swapped.status, swapped.body[ENTERPRISE].manager.value]).toEqual([200, y])
  const managers = await people.server.db.store.query<{ manager_id: string | null }>(
    `select i.manager_id from scim_user u join identity i on i.id = u.identity_id
      where u.id = any($1::uuid[]) and i.manager_id is not null`,
    [[x, y]],
  )
  expect(managers).toHaveLength(1)
})

/** A rule whose team is emptied, or gone, stops what it guards; it is told, and it can be mended. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { fsckIdentities } from '../identity/index.ts'
import { newId } from '../kernel/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let idp: Provider
let bob: Asker
let eve: Asker
beforeAll(async () => {
  people = await People.start()
  idp = await Provider.add(people.server, 'dir')
  bob = await people.person('bob', 'bootstrap-admin')
  eve = await people.person('eve', 'bootstrap-admin')
}, 60_000)
afterAll(() => people.stop())
afterEach(async () => {
  expect(people.server.undeclared()).toEqual([])
  expect(await fsckIdentities(people.server.db.store)).toEqual([])
  await people.server.db.store.query('delete from approval_rule')
})

const ruled = (action: string, team: string, count = 1) =>
  people.made('/v1/approval-rules', { action, factors: [{ team, count }], reason: 'guards the rules' })
const unrule = (by: Asker) => by.post('/v1/approval-rules/approval:configure/remove', { reason: 'the team is gone' })
const found = async () => {
  const items: { detail: string }[] = (await people.server.get('/v1/findings?kind=empty_team&limit=200')).body.items
  return items.map(({ detail }) => detail).filter((detail) => detail.includes('approval:configure'))
}
const asked = async (by: Asker, words: string): Promise<string> => {
  const { status, body, text } = await unrule(by)
  expect([status, body.code, body.detail], text).toEqual([409, 'approval_required', expect.stringContaining(words)])
  return body.approval
}
const read = async (id: string) => done(await people.server.get(`/v1/approvals/${id}`))
const bypass = async (by: Asker, id: string) =>
  by.post(`/v1/approvals/${id}/bypass`, { reason: 'nobody is left in it', digest: (await read(id)).digest })

test('a directory deletes the group that a rule on rules asks: the team is emptied and kept, and the rule is bypassed', async () => {
  const group = await idp.group('rulers', [await idp.user('mia'), await idp.user('max')])
  await ruled('approval:configure', group)
  expect((await idp.send('DELETE', `/Groups/${group}`)).status).toBe(204)
  expect((await idp.get(`/Groups/${group}`)).status).toBe(404)
  expect(done(await people.server.get(`/v1/teams/${group}`))).toMatchObject({ name: 'rulers', source: 'api', people: 0 })
  expect(await found()).toEqual([expect.stringMatching(/nobody active is in it: dir deleted its group.*asked for approval:configure/)])
  const id = await asked(bob, 'The team rulers has 0 people who may approve this; 1 must.')
  expect(await asked(bob, 'nobody could')).toBe(id)
  expect((await bypass(bob, id)).status, 'not by who asks').toBe(403)
  expect(done(await bypass(eve, id)).state).toBe('bypassed')
  done(await unrule(bob))
  done(await people.server.post(`/v1/teams/${group}/remove`, { reason: 'of no use' }))
})

test('or it is filled by hand, and who is in it then is asked', async () => {
  const group = await idp.group('rulers too', [await idp.user('moe')])
  await ruled('approval:configure', group)
  expect((await idp.send('DELETE', `/Groups/${group}`)).status).toBe(204)
  const before = await asked(bob, 'nobody could')
  done(await people.server.post(`/v1/teams/${group}/members`, { add: { identities: [eve.id] }, reason: 'she was in it' }))
  const id = await asked(bob, 'they have been asked')
  expect([id === before, (await read(before)).state]).toEqual([false, 'withdrawn'])
  done(await eve.post(`/v1/approvals/${id}/approve`, { reason: 'seen it', digest: (await read(id)).digest }))
  done(await unrule(bob))
})

test('a group that nothing depends on goes with its team; one that is emptied, and a team that is gone, can be bypassed', async () => {
  const free = await idp.group('free', [])
  expect((await idp.send('DELETE', `/Groups/${free}`)).status).toBe(204)
  expect((await people.server.get(`/v1/teams/${free}`)).status).toBe(404)
  const group = await idp.group('emptied', [await idp.user('mary'), await idp.user('mark')])
  await ruled('approval:configure', group, 2)
  expect((await idp.patch(`/Groups/${group}`, { op: 'replace', path: 'members', value: [] })).status).toBe(204)
  done(await bypass(eve, await asked(bob, 'has 0 people')))
  done(await unrule(bob))
  // As an older version left it.
  const gone = newId()
  await people.server.db.store.query(
    `insert into approval_rule (action, factors, expires_seconds, changed_at, changed_by, reason)
     values ('approval:configure', $1::jsonb, 3600, now(), 'test', 'test')`,
    [JSON.stringify([{ team: gone, count: 1, aal: 2, passkey: false }])],
  )
  expect(await found()).toEqual([expect.stringMatching(/^there is no such team any more: its approval is asked for approval:configure/)])
  done(await bypass(eve, await asked(bob, 'which is gone')))
  done(await unrule(bob))
})

test('policies are proposed, and bypassed, under a rule that nobody can meet', async () => {
  const group = await idp.group('policy makers', [await idp.user('mick')])
  await ruled('policy:approve', group)
  expect((await idp.send('DELETE', `/Groups/${group}`)).status).toBe(204)
  const text = '@id("more") permit(principal in Role::"watcher", action == Action::"identity:read", resource);'
  const { id, digest, approval } = done(await bob.post('/v1/policies', { files: [{ name: 'more.cedar', text }], reason: 'to watch' }))
  expect((await read(approval)).state).toBe('requested')
  done(await bob.post(`/v1/policies/${id}/bypass`, { reason: 'nobody is there to approve', digest }))
  expect((await read(approval)).state).toBe('consumed')
})

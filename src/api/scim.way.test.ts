/** A directory suspends the last person who could change policies: it is done, and it is told. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { TestServer } from './testing.ts'

let server: TestServer
let corp: Provider
let watcher: string
beforeAll(async () => {
  server = await TestServer.start()
  corp = await Provider.add(server, 'corp')
  watcher = (await server.post('/v1/tokens', { name: 'watch', roles: ['auditor'], reason: 'looks' })).body.token
  await server.post('/v1/notify/channels', {
    name: 'chat',
    webhook: { url: 'https://hooks.example.com/x', link: 'https://rekey.example.com' },
    secret: Buffer.from('a key of sixteen bytes or more').toString('base64'),
  })
  // From here on only people change policies.
  await server.db.store.query("delete from role_binding where role = 'bootstrap-admin'")
})
afterAll(() => server.stop())

/** A person whom the directory made, who can log in and may change policies alone. */
async function administrator(userName: string) {
  const user = await corp.user(userName)
  const [row] = await server.db.store.query<{ id: string }>('select identity_id as id from scim_user where id = $1', [user])
  const id = row?.id ?? ''
  await server.db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
       rp_id, name) values ($1, $2, $3, '\\x00', 0, '{}', '', 'none', true, false, 'x', 'key')`,
    [newId(), id, newId()],
  )
  await server.db.store.query(
    `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason)
     values (gen_random_uuid(), 'bootstrap-admin', 'identity', $1, 'test', 'test')`,
    [id],
  )
  return { user, id }
}
const active = (user: string, value: boolean) => corp.patch(`/Users/${user}`, { op: 'replace', path: 'active', value })
const findings = async () => (await server.send('GET', '/v1/findings?kind=way_lost', { token: watcher })).body.items
const lost = () =>
  server.db.store.query<{ subject: string }>(
    "select body::jsonb ->> 'subject' as subject from evidence_event where body::jsonb ->> 'type' = 'identity.way_lost' order by id",
  )
const statusOf = async (id: string) =>
  (await server.db.store.query<{ status: string }>('select status from identity where id = $1', [id]))[0]?.status

test('with another administrator there, nothing is told; the last one is suspended all the same, and it is found and told', async () => {
  const [ada, bob] = [await administrator('ada'), await administrator('bob')]
  expect((await active(ada.user, false)).status).toBe(200)
  expect([await lost(), await findings()]).toEqual([[], []])
  expect((await active(bob.user, false)).status).toBe(200)
  expect([await statusOf(ada.id), await statusOf(bob.id)]).toEqual(['suspended', 'suspended'])
  expect(await lost()).toEqual([{ subject: 'bob' }])
  expect(await findings()).toMatchObject([
    { kind: 'way_lost', severity: 'high', subject: 'bob', detail: expect.stringMatching(/^corp suspended it, and nobody is left/) },
  ])
  const told = await server.db.store.query<{ about: object }>("select about from notify_delivery where event = 'way_lost'")
  expect(told).toMatchObject([{ about: { id: bob.id, subject: 'bob', system: 'corp' } }])
  // A repeat tells nothing again; the directory's true gives the way back.
  expect((await active(bob.user, false)).status).toBe(200)
  expect(await lost()).toHaveLength(1)
  expect((await active(ada.user, true)).status).toBe(200)
  expect(await findings()).toEqual([])
})

test('the same by DELETE', async () => {
  const before = (await lost()).length
  const users = await server.db.store.query<{ id: string }>(
    "select u.id from scim_user u join identity i on i.id = u.identity_id where i.status = 'active'",
  )
  expect(users).toHaveLength(1)
  expect((await corp.send('DELETE', `/Users/${users[0]?.id}`)).status).toBe(204)
  expect(await lost()).toHaveLength(before + 1)
  expect((await findings()).map(({ subject }: { subject: string }) => subject).sort()).toEqual(['ada', 'bob'])
})

test('two that are suspended at the same moment: one of them was the last', async () => {
  const [carol, dora] = [await administrator('carol'), await administrator('dora')]
  const before = (await lost()).length
  const answers = await Promise.all([active(carol.user, false), active(dora.user, false)])
  expect(answers.map(({ status }) => status)).toEqual([200, 200])
  expect(await lost()).toHaveLength(before + 1)
})

test('the same by taking people out of the group that holds the role, and by its DELETE', async () => {
  const { store } = server.db
  // Only this group's people from here on.
  await store.query("delete from role_binding where subject_kind = 'identity'")
  const users = [(await administrator('erin')).user, (await administrator('finn')).user]
  const inner = await corp.group('inner admins', users)
  const group = await corp.group('admins', [inner])
  await store.query("delete from role_binding where subject_kind = 'identity'")
  await store.query(
    `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason)
     values (gen_random_uuid(), 'security-admin', 'team', $1, 'test', 'test')`,
    [group],
  )
  const before = (await lost()).length
  expect((await corp.patch(`/Groups/${inner}`, { op: 'remove', path: `members[value eq "${users[0]}"]` })).status).toBe(204)
  expect((await lost()).slice(before)).toEqual([{ subject: 'inner admins' }])
  expect((await findings()).filter(({ subject }: { subject: string }) => subject.includes('admins'))).toMatchObject([
    { subject: 'inner admins', identity: null, detail: expect.stringMatching(/^corp took people out of this team.*nobody is left/) },
  ])
  const [told] = await store.query(
    "select about from notify_delivery where event = 'way_lost' and about ->> 'subject' = 'inner admins' limit 1",
  )
  expect(told).toMatchObject({ about: { id: inner, system: 'corp' } })
  // Given back, and then the groups around are deleted: each time the last way goes once.
  expect((await corp.patch(`/Groups/${inner}`, { op: 'add', path: 'members', value: [{ value: users[0] }] })).status).toBe(204)
  expect(await findings()).toEqual([])
  expect((await corp.send('PUT', `/Groups/${group}`, { displayName: 'admins', members: users.map((value) => ({ value })) })).status).toBe(
    200,
  )
  expect((await lost()).slice(before)).toHaveLength(1)
  expect((await corp.send('DELETE', `/Groups/${group}`)).status).toBe(204)
  expect((await lost()).slice(before + 1)).toEqual([{ subject: 'admins' }])
  expect((await findings()).map(({ subject }: { subject: string }) => subject)).toContain('admins')
})

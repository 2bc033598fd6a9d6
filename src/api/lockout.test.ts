/** Somebody can always change policy: who has gone, or cannot log in, does not count. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { type Answered, TestServer } from './testing.ts'

let server: TestServer
beforeEach(async () => {
  server = await TestServer.start({ requestsPerMinute: 1_000_000 })
})
afterEach(async () => {
  expect(server.undeclared()).toEqual([])
  await server.stop()
})

const ok = (answer: Answered) => {
  expect(answer.status, answer.text).toBeLessThan(300)
  return answer.body
}
const refused = (answer: Answered) => expect([answer.status, answer.body.code], answer.text).toEqual([409, 'wrong_state'])
const bind = async (kind: string, subject: string) =>
  ok(await server.post('/v1/role-bindings', { role: 'security-admin', kind, subject, reason: 'they run it' }))
const revoke = () => server.post('/v1/tokens/admin/revoke', { reason: 'cleaning up' })
const end = (id: string, verb: string, more: object = {}) => server.post(`/v1/identities/${id}/${verb}`, { reason: 'has left', ...more })

async function person(name: string): Promise<string> {
  const { id } = ok(await server.post('/v1/identities', { name, kind: 'human' }))
  await server.db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
       rp_id, name) values ($1, $2, $3, '\\x00', 0, '{}', '', 'none', true, false, 'x', 'key')`,
    [newId(), id, newId()],
  )
  return id
}

/** A token that may end identities and read, and cannot change policy. */
async function helper(): Promise<(path: string, body: object) => Promise<Answered>> {
  const made = ok(await server.post('/v1/tokens', { name: 'helper', roles: ['directory-admin'], reason: 'tests' }))
  return (path, body) => server.send('POST', path, { token: made.token, body })
}

test('the first token does not go while those who could take over are gone, or cannot log in', async () => {
  const people = [await person('ada'), await person('bob')]
  for (const id of people) await bind('identity', id)
  await helper()
  for (const id of people) ok(await end(id, 'offboard'))
  refused(await revoke())
  const [carl, dan] = [await person('carl'), await person('dan')]
  for (const id of [carl, dan]) await bind('identity', id)
  ok(await end(dan, 'suspend'))
  refused(await revoke())
  ok(await server.post(`/v1/identities/${dan}/resume`, { reason: 'is back' }))
  await server.db.store.query('delete from passkey where identity_id = $1', [dan])
  refused(await revoke())
  const eve = await person('eve')
  await bind('identity', eve)
  ok(await revoke())
})

test('a team counts for the people in it', async () => {
  const { id: team } = ok(await server.post('/v1/teams', { name: 'security' }))
  await bind('team', team)
  await helper()
  refused(await revoke())
  const ada = await person('ada')
  ok(await server.post(`/v1/teams/${team}/members`, { add: { identities: [ada] } }))
  refused(await revoke())
  ok(await server.post(`/v1/teams/${team}/members`, { add: { identities: [await person('bob')] } }))
  ok(await revoke())
})

test('whoever is the last way in is not ended, taken out or suspended, unless it is forced with a reason', async () => {
  const { id: team } = ok(await server.post('/v1/teams', { name: 'security' }))
  await bind('team', team)
  const [ada, bob] = [await person('ada'), await person('bob')]
  ok(await server.post(`/v1/teams/${team}/members`, { add: { identities: [ada, bob] } }))
  const ask = await helper()
  ok(await revoke())
  const at = (verb: string, more: object = {}) => ask(`/v1/identities/${bob}/${verb}`, { reason: 'has left', ...more })
  refused(await at('offboard'))
  refused(await at('suspend'))
  refused(await ask(`/v1/teams/${team}/members`, { remove: { identities: [bob] } }))
  expect((await at('suspend', { force: true })).status).toBe(400)
  const done = await ask(`/v1/identities/${bob}/suspend`, { reason: 'is being blackmailed', force: true })
  expect(ok(done).status).toBe('suspended')
})

/** Who may configure logins takes the way in neither from everybody at once, past the rules, nor from the last who could let others in. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
beforeEach(async () => {
  people = await People.start()
}, 60_000)
afterEach(async () => {
  expect(people.server.undeclared()).toEqual([])
  await people.stop()
})

const remove = (by: Pick<Asker, 'post'>) => by.post('/v1/login/providers/corp/remove', { reason: 'another provider comes' })
const unlink = (identity: string) => people.server.post('/v1/login/links/remove', { identity, provider: 'corp', reason: 'ticket 43' })
const isIn = async (who: Asker) => (await who.get('/v1/session')).status === 200
const ways = async () => (await people.server.send('GET', '/v1/login', { token: null })).body.providers
const rule = (action: string, team: string) =>
  people.made('/v1/approval-rules', { action, factors: [{ team, count: 1 }], reason: 'two pairs of eyes' })

/** Refused, and everything is as it was. */
async function refused(asked: ReturnType<typeof remove>, words: string): Promise<void> {
  const answer = await asked
  expect([answer.status, answer.body.code, answer.body.detail]).toEqual([409, 'wrong_state', expect.stringContaining(words)])
  expect(await ways()).toEqual(['corp'])
}

test('a provider at which the last administrator logs in is not removed, and with another way in it is', async () => {
  const bob = await people.person('bob', 'bootstrap-admin')
  await people.person('sec', 'security-admin')
  done(await unlink('sec'))
  await refused(unlink('bob'), 'last way in of the last administrator')
  expect((await people.server.post('/v1/login/providers/corp/remove', {})).status).toBe(400)
  await refused(remove(people.server), 'last way in of the last administrator')
  expect(await isIn(bob)).toBe(true)
  await people.server.db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
       rp_id, name) values (gen_random_uuid(), $1, 'key-of-bob', '\\x00', 0, '{}', '', 'none', true, false, 'x', 'key')`,
    [bob.id],
  )
  expect(done(await remove(people.server))).toEqual({ provider: 'corp', sessionsEnded: 1, passkeysLeft: 0 })
  expect([await ways(), await isIn(bob)]).toEqual([[], false])
  const [told] = await people.server.db.store.query<{ reason: string }>(
    "select body::jsonb -> 'data' ->> 'reason' as reason from evidence_event where body::jsonb ->> 'type' = 'login_provider.removed'",
  )
  expect(told).toEqual({ reason: 'another provider comes' })
})

test('under a rule it is approved first, and is refused all the same where nobody could let the others in', async () => {
  const [mal, eve] = [await people.person('mal', 'security-admin'), await people.person('eve', 'bootstrap-admin')]
  const team = await people.team('deciders', eve)
  for (const action of ['login:configure', 'role:bind', 'approval:configure']) await rule(action, team)
  const asked = await remove(mal)
  expect([asked.status, asked.body.code]).toEqual([409, 'approval_required'])
  expect([await isIn(eve), await ways()]).toEqual([true, ['corp']])
  const request = done(await people.server.get(`/v1/approvals/${asked.body.approval}`))
  expect(request.words).toContain('whoever has no other way in stays out')
  expect(request.words).toContain('Reason given: "another provider comes"')
  done(await eve.post(`/v1/approvals/${asked.body.approval}/approve`, { reason: 'seen it', digest: request.digest }))
  await refused(remove(mal), 'last way in of the last administrator')
})

test('nor are those whom a rule asks taken out one by one, until nobody can bring them back', async () => {
  const [mal, eve] = [await people.person('mal', 'security-admin'), await people.person('eve', 'approver')]
  const bob = await people.person('bob', 'bootstrap-admin')
  await rule('login:configure', await people.team('deciders', eve))
  // Eve could still approve what mal asks; then nobody could, of what she asks alone.
  done(await unlink('bob'))
  await refused(unlink('eve'), 'Nobody could approve or bypass')
  expect([await isIn(bob), await isIn(eve), await isIn(mal)]).toEqual([false, true, true])
})

/** Which subject of a provider a person is: taken back, and given to who comes back. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { fsckIdentities } from '../identity/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let admin: Asker
beforeAll(async () => {
  people = await People.start()
  admin = await people.person('admin', 'bootstrap-admin')
}, 60_000)
afterAll(() => people.stop())
afterEach(async () => {
  expect(people.server.undeclared()).toEqual([])
  const { found } = await fsck()
  expect(found).toEqual([])
})

const fsck = async () => ({ found: await fsckIdentities(people.server.db.store) })
const link = (by: Pick<Asker, 'post'>, identity: string, subject: string) =>
  by.post('/v1/login/links', { identity, provider: 'corp', subject, reason: 'she came back' })
const unlink = (by: Pick<Asker, 'post'>, identity: string, provider = 'corp') =>
  by.post('/v1/login/links/remove', { identity, provider, reason: 'ticket 43' })
const offboard = (name: string) => people.server.post(`/v1/identities/${name}/offboard`, { reason: 'left the firm' })
const join = (name: string) => people.made('/v1/identities', { name, kind: 'human' })
const external = async (name: string) => done(await people.server.get(`/v1/identities/${name}`)).externalIds
const logsIn = (subject: string) => people.login(new Visitor(people.server), subject)

test('who comes back is linked by a person to the new identity, and the old one stays gone', async () => {
  await people.person('first-eva')
  done(await offboard('first-eva'))
  await expect(logsIn('first-eva')).rejects.toThrow('401')
  const eva = await join('second-eva')
  // Somebody must say that it is she, and no program does.
  expect((await link(people.server, 'second-eva', 'sub-first-eva')).body.code).toBe('forbidden')
  expect((await unlink(people.server, 'first-eva')).body.code).toBe('forbidden')
  expect(await external('first-eva')).toHaveLength(1)
  done(await link(admin, 'second-eva', 'sub-first-eva'))
  expect(await external('first-eva')).toEqual([])
  const visitor = new Visitor(people.server)
  await people.login(visitor, 'first-eva')
  expect((await visitor.get('/v1/session')).body).toMatchObject({ id: eva.id, name: 'second-eva' })
  // Of somebody who is here it is taken from nobody.
  await join('third-eva')
  expect((await link(admin, 'third-eva', 'sub-first-eva')).body.code).toBe('conflict')
})

test('a subject that a person took off a leaver is free for anybody who may link', async () => {
  await people.person('first-ida')
  done(await offboard('first-ida'))
  done(await unlink(admin, 'first-ida'))
  await join('second-ida')
  done(await link(people.server, 'second-ida', 'sub-first-ida'))
  await logsIn('first-ida')
})

test('a link that is taken back lets nobody in, ends what began by it, and is on record with its reason', async () => {
  const eve = await people.person('eve')
  const hand = done(await eve.post('/v1/session/command-line'))
  const other = await people.person('other-eve')
  expect(done(await unlink(admin, 'eve')).sessionsEnded).toBe(2)
  expect((await eve.get('/v1/session')).status).toBe(401)
  expect((await people.server.send('GET', '/v1/session', { token: hand.token })).status).toBe(401)
  expect((await other.get('/v1/session')).status).toBe(200)
  await expect(logsIn('eve')).rejects.toThrow('401')
  expect((await unlink(admin, 'eve')).status).toBe(404)
  expect((await unlink(admin, 'eve', 'nobody')).status).toBe(404)
  const [told] = await people.server.db.store.query<{ data: object }>(
    `select body::jsonb -> 'data' as data from evidence_event
      where body::jsonb ->> 'type' = 'identity.external_ids_changed' and body::jsonb ->> 'subject' = 'eve' order by id desc limit 1`,
  )
  expect(told?.data).toEqual({ externalIds: [{ source: 'oidc:corp', id: null }], reason: 'ticket 43' })
})

test('another subject ends what the one before began', async () => {
  const zoe = await people.person('zoe')
  done(await link(people.server, 'zoe', 'sub-zoe'))
  expect((await zoe.get('/v1/session')).status).toBe(200)
  done(await link(people.server, 'zoe', 'sub-zoe-new'))
  expect((await zoe.get('/v1/session')).status).toBe(401)
})

test('the last way in of the last administrator is not taken', async () => {
  const refused = await unlink(people.server, 'admin')
  expect([refused.status, refused.body.code]).toEqual([409, 'wrong_state'])
  expect((await admin.get('/v1/session')).status).toBe(200)
  await people.person('admin-two', 'bootstrap-admin')
  done(await unlink(people.server, 'admin'))
  expect((await admin.get('/v1/session')).status).toBe(401)
})

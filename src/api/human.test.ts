/** Directory rights and credential rights are counted for a human: over identities, tokens, directories and policies that name a team. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'
import type { Answered } from './testing.ts'

let people: People
beforeAll(async () => {
  people = await People.start()
})
afterAll(() => people.stop())

const bind = (role: string, kind: string, subject: string, more: object = {}) =>
  people.server.post('/v1/role-bindings', { role, kind, subject, reason: 'for the tests', ...more })
const same = (one: string, other: string, more: object = {}) =>
  people.server.post(`/v1/identities/${one}/same-person`, { other, same: true, reason: 'one human, said so', ...more })
const human = async (name: string) => (await people.made('/v1/identities', { name, kind: 'human' })) as { id: string; name: string }
const credentials = async (by: Pick<Asker, 'get'>) => (await by.get('/v1/systems')).status
const joins = async (by: Pick<Asker, 'post'>) => (await by.post('/v1/identities', { name: `j-${newId()}`, kind: 'human' })).status

function refused(answer: Answered, ...names: string[]): void {
  expect([answer.status, answer.body.code], answer.text).toEqual([409, 'wrong_state'])
  for (const name of names) expect(answer.body.detail).toContain(name)
}

/** Somebody of a directory, who logs in, with what she is by hand. */
async function pushed(x: string, ...roles: string[]) {
  const idp = await Provider.add(people.server, `idp-${x}`)
  const name = `eve-${x}`
  const user = await idp.user(name)
  const { id } = done(await people.server.get(`/v1/identities/${name}`))
  for (const role of roles) done(await bind(role, 'identity', id))
  await people.made('/v1/login/links', { identity: id, provider: 'corp', subject: `sub-${name}`, reason: 'tests' })
  const browser = new Visitor(people.server)
  await people.login(browser, name)
  const join = (group: string) => idp.patch(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: user }] })
  return { id, name, browser, idp, join }
}

async function activate(name: string, text: string): Promise<void> {
  const set = await people.made('/v1/policies', { files: [{ name, text }], reason: 'the team runs it' })
  await people.made(`/v1/policies/${set.id}/bypass`, { digest: set.digest, reason: 'nobody else is here yet' })
}

const explained = async (name: string, action: string) =>
  done(
    await people.server.post('/v1/policies/explain', {
      action,
      holder: { kind: 'identity', name },
      principal: { aal: 3, minutesSinceLogin: 1 },
    }),
  )

test('a directory gives no second hand by a group that a policy names', async () => {
  const x = newId().slice(-6)
  const eve = await pushed(x, 'directory-admin')
  const group = await eve.idp.group(`crew-${x}`)
  await activate(
    `crew-${x}.cedar`,
    `@id("gives") permit (principal in Team::"${group}", action in [Action::"credential", Action::"inventory:read"], resource);
     @id("forbids") forbid (principal in Team::"${group}", action == Action::"team:create", resource);`,
  )
  const other = await human(`other-${x}`)
  done(await eve.join(group))
  expect([await credentials(eve.browser), await joins(eve.browser)]).toEqual([403, 201])
  expect(await explained(eve.name, 'rotation:start')).toMatchObject({ allowed: false, withheld: [`Team::"${group}"`] })
  // What the team forbids, it forbids to her as well.
  expect((await eve.browser.post('/v1/teams', { name: `t-${x}` })).status).toBe(403)
  // Whom somebody forced has both: by hand, with a reason on record.
  done(await same(eve.id, other.id))
  refused(await bind('operator', 'identity', other.id), eve.name, other.name)
  done(await bind('operator', 'identity', other.id, { force: true, reason: 'there is nobody else' }))
  expect([await credentials(eve.browser), await joins(eve.browser)]).toEqual([200, 201])
})

test('a directory gives no second hand to whose token or other identity has the first', async () => {
  const x = newId().slice(-6)
  const eve = await pushed(x)
  const group = await eve.idp.group(`ops-${x}`)
  done(await bind('credential-admin', 'team', group))
  const token = await people.token(people.server, `t-${x}`, ['directory-admin'], { identity: eve.id })
  done(await eve.join(group))
  expect([await credentials(eve.browser), await joins(token)]).toEqual([403, 201])
  done(await people.server.post(`/v1/tokens/${token.name}/revoke`, { reason: 'tests' }))
  expect(await credentials(eve.browser)).toBe(200)
  // Nor by two identities of hers.
  const two = await human(`two-${x}`)
  done(await bind('directory-admin', 'identity', two.id))
  done(await same(eve.id, two.id))
  expect(await credentials(eve.browser)).toBe(403)
  expect(await explained(eve.name, 'rotation:start')).toMatchObject({ allowed: false, withheld: ['credential-admin'] })
})

test('one human with two identities on record holds both hands by force alone', async () => {
  const x = newId().slice(-6)
  const [one, two] = [await human(`one-${x}`), await human(`two-${x}`)]
  done(await same(one.id, two.id))
  done(await bind('directory-admin', 'identity', one.id))
  refused(await bind('credential-admin', 'identity', two.id), one.name, two.name)
  const token = { name: `tt-${x}`, roles: ['credential-admin'], identity: two.id, reason: 'because she needs it' }
  refused(await people.server.post('/v1/tokens', token), two.name)
  const team = await people.team(`runs-${x}`, two)
  refused(await bind('operator', 'team', team), two.name)
  done(await bind('credential-admin', 'identity', two.id, { force: true, reason: 'there is nobody else' }))
  const rows = await people.server.db.store.query('select identity_id from both_hands where identity_id = any($1::uuid[])', [
    [one.id, two.id],
  ])
  expect(rows).toHaveLength(2)
  // Forced once, a second role of the same hand is no news.
  done(await bind('operator', 'identity', two.id))
})

test('two identities that hold both hands together are joined by force alone, which is on record', async () => {
  const x = newId().slice(-6)
  const [one, two, three] = [await human(`a-${x}`), await human(`b-${x}`), await human(`c-${x}`)]
  done(await bind('directory-admin', 'identity', one.id))
  done(await bind('credential-admin', 'identity', three.id))
  // Through the one between them, which holds nothing.
  done(await same(one.id, two.id))
  refused(await same(two.id, three.id), one.name, three.name)
  expect(done(await people.server.get(`/v1/identities/${three.id}/same-person`)).items).toEqual([])
  expect((await same(two.id, three.id, { force: true, reason: 'short' })).status).toBe(400)
  const reason = `it is one and the same ${x}`
  done(await same(two.id, three.id, { force: true, reason }))
  const told = await people.server.db.store.query<{ ids: string[] }>(
    `select body::jsonb -> 'data' -> 'identities' as ids from evidence_event
      where body::jsonb ->> 'type' = 'role.forced' and body::jsonb -> 'data' ->> 'reason' = $1`,
    [reason],
  )
  expect(told.map(({ ids }) => [...ids].sort())).toEqual([[one.id, three.id].sort()])
  const forced = () => people.server.db.store.query('select 1 from both_hands where identity_id = any($1::uuid[])', [[one.id, three.id]])
  expect(await forced()).toHaveLength(2)
  // Said to be two again, each has one hand, and the next time it is forced anew.
  done(await same(two.id, three.id, { same: false, reason: 'they are two after all' }))
  expect(await forced()).toEqual([])
})

test('two identities of one address are one human', async () => {
  const x = newId().slice(-6)
  const labels = { email: `ada-${x}@example.com` }
  const [one, two] = await Promise.all(
    ['p', 'q'].map((name) => people.made('/v1/identities', { name: `${name}-${x}`, kind: 'human', labels })),
  )
  done(await bind('credential-admin', 'identity', one.id))
  refused(await bind('directory-admin', 'identity', two.id), one.name, two.name)
})

test('two that an address made one are not refused, and neither comes to both hands alone by it', async () => {
  const x = newId().slice(-6)
  const [one, two] = [await human(`m-${x}`), await human(`n-${x}`)]
  done(await bind('credential-admin', 'identity', one.id))
  done(await bind('directory-admin', 'identity', two.id))
  const email = { labels: { email: `mn-${x}@example.com` } }
  for (const { id } of [one, two]) done(await people.server.post(`/v1/identities/${id}/move`, email))
  const team = await people.team(`mn-${x}`, one)
  refused(await bind('directory-admin', 'team', team), one.name)
  // What is bound to others is nobody's concern here.
  done(await bind('operator', 'identity', (await human(`o-${x}`)).id))
})

/** Whoever made a token stands behind it: over HTTP, as people who log in and tokens that they make. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let eve: Asker
let bob: Asker
beforeAll(async () => {
  people = await People.start()
  eve = await people.person('eve', 'security-admin')
  bob = await people.person('bob', 'security-admin')
})
afterAll(() => people.stop())
afterEach(() => expect(people.server.undeclared()).toEqual([]))

const propose = (by: Asker | People['server']) => {
  const text = `permit (principal in Role::"r${newId()}", action == Action::"status:read", resource);`
  return by.post('/v1/policies', { files: [{ name: `f${newId()}.cedar`, text }], reason: 'tests' })
}
const approve = (by: Asker, { id, digest }: { id: string; digest: string }) => by.post(`/v1/policies/${id}/approve`, { digest })

test('nobody approves the policies that a token of theirs proposed, whatever made it or took its place', async () => {
  const one = await people.token(eve, 'one', ['security-admin'])
  const two = await people.token(one, 'two', ['security-admin'])
  const three = people.asker(done(await two.post('/v1/tokens/two/rotate', {})))
  for (const token of [one, two, three]) {
    const proposed = done(await propose(token))
    const refused = await approve(eve, proposed)
    expect([refused.status, refused.body.detail]).toEqual([403, 'Who proposed it does not approve it.'])
  }
  const last = done(await propose(three))
  expect((await approve(bob, last)).status).toBe(200)
})

test('who owns a program does not approve what it proposed', async () => {
  const fields = { kind: 'workload', owner: `person:${eve.id}`, purpose: 'tests', environment: 'test' }
  const { id } = await people.made('/v1/identities', { name: 'ci', ...fields })
  const token = await people.token(people.server, 'ci', ['security-admin'], { identity: id })
  const proposed = done(await propose(token))
  expect((await approve(eve, proposed)).status).toBe(403)
  expect((await approve(bob, proposed)).status).toBe(200)
})

test('an approval that a rule asks for is not given by who made the token that asks', async () => {
  const crew = await people.team('crew', eve, bob)
  const somebody = await people.made('/v1/identities', { name: 'somebody', kind: 'human' })
  const token = await people.token(eve, 'asks', ['security-admin'])
  await people.made('/v1/approval-rules', { action: 'role:bind', factors: [{ team: crew, count: 1 }], reason: 'two pairs of eyes' })
  try {
    const bind = () => token.post('/v1/role-bindings', { role: 'operator', kind: 'identity', subject: somebody.id, reason: 'by eve alone' })
    const { approval } = (await bind()).body
    const shown = done(await bob.get(`/v1/approvals/${approval}`))
    expect(shown.factors[0].approvers).toMatchObject([{ name: 'bob' }])
    const decide = (by: Asker) => by.post(`/v1/approvals/${approval}/approve`, { reason: 'fine', digest: shown.digest })
    expect((await decide(eve)).status).toBe(404)
    expect((await bind()).status).toBe(409)
    expect((await decide(bob)).status).toBe(200)
    expect((await bind()).status).toBe(201)
  } finally {
    done(await people.server.post('/v1/approval-rules/role:bind/remove', { reason: 'end' }))
  }
})

test('a token that nobody on record stands behind asks for nothing, until somebody makes it theirs; the first token does', async () => {
  const bare = await people.token(people.server, 'bare', ['security-admin'])
  const refused = await propose(bare)
  expect([refused.status, refused.body.hint]).toEqual([403, 'Ask logged in, or rotate the token logged in: it is yours then.'])
  const hers = people.asker(done(await eve.post('/v1/tokens/bare/rotate', {})))
  const proposed = done(await propose(hers))
  expect((await approve(eve, proposed)).status).toBe(403)
  expect((await propose(people.server)).status).toBe(201)
})

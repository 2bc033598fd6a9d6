/** Whoever made a token stands behind it: over HTTP, as people who log in and tokens that they make. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { proveDeadTokens, revokeOrphanTokens } from '../identity/index.ts'
import { makeCtx, newId } from '../kernel/index.ts'
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
const approve = (by: Asker, { id, digest }: { id: string; digest: string }) =>
  by.post(`/v1/policies/${id}/approve`, { digest, reason: 'read it' })

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
    expect((await decide(eve)).status).toBe(403)
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

const ownersToken = async (name: string) => {
  const fields = { kind: 'workload', owner: `person:${bob.id}`, purpose: 'tests', environment: 'test' }
  return (await people.made('/v1/identities', { name, ...fields })).id
}
const listed = async (key: string) => done(await people.server.get(`/v1/tokens?identity=${key}&ended=true`)).items
const matters = async () => done(await people.server.get('/v1/findings?limit=500')).items

test('what a leaver has made is planned, suspended and ended with them; a token takes no new text past its maker', async () => {
  const mal = await people.person('mal', 'security-admin')
  const shop = await ownersToken('shop')
  const door = await people.token(mal, 'door', ['security-admin'], { expiresSeconds: 90 * 86_400 })
  const inner = await people.token(door, 'inner', ['security-admin'])
  const shops = await people.token(mal, 'shops', ['security-admin'], { identity: shop })
  const kept = await people.token(mal, 'kept', ['security-admin'], { identity: shop })
  const all = [door, inner, shops, kept]
  const plan = done(await people.server.get(`/v1/identities/${mal.id}/closure-plan`)).items
  const tokens = plan.map((it: { credential: string }) => it.credential).filter((it: string) => it.startsWith('token '))
  expect(tokens).toEqual(all.map(({ id, name }) => `token ${name} ${id}`))
  expect(plan[2]).toMatchObject({
    way: 'suspend',
    consumers: ['shop'],
    why: expect.stringContaining('who rotates it before keeps it for shop'),
  })
  const taken = people.asker(done(await bob.post('/v1/tokens/kept/rotate', {})))
  done(await people.server.post(`/v1/identities/${mal.id}/suspend`, { reason: 'away' }))
  for (const token of all) {
    expect((await token.get('/v1/tokens')).status).toBe(401)
    expect((await token.post(`/v1/tokens/${token.name}/rotate`, { overlapSeconds: 0 })).status).toBe(401)
  }
  expect((await taken.get('/v1/tokens')).status).toBe(200)
  expect((await listed(mal.id)).map((it: { state: string }) => it.state)).toEqual(Array(4).fill('suspended'))
  const found = (await matters()).filter((it: { kind: string }) => it.kind === 'token_stopped')
  expect(found.map((it: { subject: string; owner: { name: string } }) => [it.subject, it.owner.name])).toEqual([
    ['shops', 'bob'],
    ['kept', 'bob'],
  ])
  done(await people.server.post(`/v1/identities/${mal.id}/resume`, { reason: 'back' }))
  expect((await door.get('/v1/tokens')).status).toBe(200)
  done(await people.server.post(`/v1/identities/${mal.id}/offboard`, { reason: 'dismissed' }))
  for (const token of all) expect((await token.get('/v1/tokens')).status).toBe(401)
  // As the server's own loop does; any number of processes may at once.
  const ctx = makeCtx('test', 'test')
  const { store } = people.server.db
  await Promise.all([revokeOrphanTokens(store, ctx), revokeOrphanTokens(store, ctx)])
  await proveDeadTokens(store, ctx)
  for (const it of await listed(mal.id))
    expect(it).toMatchObject({ state: 'revoked', makers: [{ name: 'mal' }], provenDeadAt: expect.any(String) })
  expect((await taken.get('/v1/tokens')).status).toBe(200)
})

test('a token that nobody stands behind is a finding until somebody takes it', async () => {
  const bare = await people.token(people.server, 'lost', ['auditor'])
  const about = async () => (await matters()).filter((it: { subject: string }) => it.subject === bare.name)
  expect(await about()).toMatchObject([{ kind: 'token_of_nobody', severity: 'medium', owner: { name: 'security-contact' } }])
  done(await people.server.post('/v1/tokens/lost/revoke', { reason: 'tests' }))
  expect(await about()).toEqual([])
})

test('an Idempotency-Key of an agent is another one for each whom it acts for, and for each bound', async () => {
  const [ann, ben] = [await people.person('ann', 'operator'), await people.person('ben', 'operator')]
  const fields = { kind: 'agent', owner: `person:${bob.id}`, purpose: 'tests', environment: 'test' }
  const { id } = await people.made('/v1/identities', { name: 'agent', ...fields })
  await people.server.declare(1)
  const make = (name: string, actsFor: string, environment: string) =>
    people.token(people.server, name, ['operator'], {
      identity: id,
      actsFor,
      scope: ['rotation:start', 'rotation:read'],
      environments: [environment],
    })
  const [first, again] = [await make('for ann', ann.id, 'test'), await make('for ann too', ann.id, 'test')]
  const [other, elsewhere] = [await make('for ben', ben.id, 'test'), await make('for ann in prod', ann.id, 'prod')]
  const headers = { 'idempotency-key': newId() }
  const start = (by: Asker) => by.post('/v1/rotations', { names: ['app-0'], reason: 'tests' }, headers)
  const started = await start(first)
  expect(started.status).toBe(202)
  expect((await start(again)).text).toBe(started.text)
  const refused = [await start(other), await start(elsewhere)]
  for (const answer of refused) expect(answer.text).not.toContain(started.body.batch)
  expect(refused.map(({ status }) => status)).toEqual([409, 404])
})

test('a token that its maker holds can do no more than the maker now; one of a program goes on, and is found until rotated', async () => {
  const mover = await people.person('mover')
  const bind = () => people.made('/v1/role-bindings', { role: 'security-admin', kind: 'identity', subject: mover.id, reason: 'tests' })
  const { id: binding } = await bind()
  const crew = await people.team(`crew ${newId()}`)
  const ci = await ownersToken('movers-ci')
  const mine = await people.token(mover, 'mine', ['security-admin'])
  const named = await people.token(mover, 'named', ['security-admin'], { identity: mover.id })
  const inner = await people.token(mine, 'inner of mine', ['security-admin'])
  const program = await people.token(mover, 'movers-program', ['security-admin'], { identity: ci })
  const first = await people.token(people.server, 'of the first', ['security-admin'], { identity: ci })
  const all = [mine, named, inner, program, first]
  const may = () => Promise.all(all.map(async (token) => (await token.get('/v1/tokens')).status))
  const beyond = async () => (await matters()).filter((it: { kind: string }) => it.kind === 'token_beyond_maker')
  expect([await may(), await beyond()]).toEqual([[200, 200, 200, 200, 200], []])
  done(await people.server.post(`/v1/role-bindings/${binding}/unbind`, { reason: 'moved' }))
  expect(await may()).toEqual([403, 403, 403, 200, 200])
  const body = { role: 'operator', kind: 'team', subject: crew, reason: 'tests' }
  expect((await mine.post('/v1/role-bindings', body)).status).toBe(403)
  expect((await mine.post('/v1/tokens', { name: 'more', roles: ['security-admin'], reason: 'tests' })).status).toBe(403)
  expect(await beyond()).toMatchObject([
    {
      subject: 'movers-program',
      severity: 'medium',
      owner: { name: 'bob' },
      detail: expect.stringContaining('more than mover, who made it'),
    },
  ])
  done(await bob.post('/v1/tokens/movers-program/rotate', { overlapSeconds: 0 }))
  expect(await beyond()).toEqual([])
  await bind()
  expect((await may()).slice(0, 3)).toEqual([200, 200, 200])
})

test('a token whose maker lost the role is no way to change policy: the last role is not taken away because of it', async () => {
  const alone = await People.start()
  try {
    const ada = await alone.person('ada', 'bootstrap-admin')
    await alone.token(ada, 'adas', ['bootstrap-admin'], { force: true, reason: 'for the tests' })
    done(await ada.post('/v1/tokens/admin/revoke', { reason: 'others hold the roles', force: true }))
    const [{ id }] = done(await ada.get('/v1/role-bindings')).items.filter((it: { kind: string }) => it.kind === 'identity')
    const refused = await ada.post(`/v1/role-bindings/${id}/unbind`, { reason: 'tests' })
    expect([refused.status, refused.body.code]).toEqual([409, 'wrong_state'])
  } finally {
    await alone.stop()
  }
})

test('who keeps the token of a directory holds the directory hand until it is replaced: roles, policies, other identities', async () => {
  const mal = await people.person('mallory', 'directory-admin')
  done(await people.server.post('/v1/scim/providers', { name: 'kept' }))
  done(await mal.post('/v1/scim/providers/kept/rotate-token', {}))
  const bindings = done(await people.server.get('/v1/role-bindings')).items
  const own = bindings.find((it: { subject: string }) => it.subject === mal.id)
  done(await people.server.post(`/v1/role-bindings/${own.id}/unbind`, { reason: 'new job' }))
  const bind = (subject: string, more: object = {}) =>
    people.server.post('/v1/role-bindings', {
      role: 'credential-admin',
      kind: 'identity',
      subject,
      reason: 'a job of another kind',
      ...more,
    })
  const refused = await bind(mal.id)
  expect([refused.status, refused.body.code]).toEqual([409, 'wrong_state'])
  expect(refused.body.detail).toContain('mallory would hold directory rights and credential rights together')
  // Nor by a policy, nor through another identity of the same human.
  const text = `permit (principal == Person::"${mal.id}", action == Action::"rotation:start", resource);`
  const proposed = await eve.post('/v1/policies', { files: [{ name: 'mal.cedar', text }], reason: 'tests' })
  expect([proposed.status, proposed.body.code]).toEqual([409, 'wrong_state'])
  expect(proposed.body.detail).toContain('Role::"scim-provider": scim:push')
  const { id: second } = await people.made('/v1/identities', { name: 'mallory-2', kind: 'human' })
  done(await bind(second))
  const same = { other: second, same: true, reason: 'her manager says so' }
  expect((await people.server.post(`/v1/identities/${mal.id}/same-person`, same)).body.code).toBe('wrong_state')
  // Once somebody else has replaced it, and the old one has ended.
  done(await people.server.post('/v1/scim/providers/kept/rotate-token', { overlapSeconds: 0 }))
  expect((await bind(mal.id)).status).toBe(201)
})

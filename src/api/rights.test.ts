/** Nobody comes to rights that nobody gave them: through teams, tokens, fleet files, or because whoever could stop it is gone. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Answered, TestServer } from './testing.ts'

let server: TestServer
let x = ''
beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: 1_000_000 })
})
beforeEach(() => {
  x = newId().slice(-6)
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const ok = (answer: Answered) => {
  expect(answer.status, answer.text).toBeLessThan(300)
  return answer.body
}
/** Whoever asks: the first token, another one, or a person with a fresh session. */
interface Asker {
  readonly id: string
  readonly name: string
  post(path: string, body?: unknown): Promise<Answered>
}

/** A person who is logged in with a passkey of this moment, and holds these roles by name. */
async function person(name: string, ...roles: string[]): Promise<Asker> {
  const { id } = ok(await server.post('/v1/identities', { name, kind: 'human' }))
  await logIn(id)
  const cookie = await session(id)
  for (const role of roles) ok(await bind(role, 'identity', id))
  const headers = { cookie, origin: server.url, 'x-rekey-request': '1' }
  return { id, name, post: (path, body = {}) => server.send('POST', path, { token: null, headers, body }) }
}

/** A way to log in: without one, nobody counts as able to do anything. */
const logIn = (id: string) =>
  server.db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
       rp_id, name)
     values ($1, $2, $3, '\\x00', 0, '{}', '', 'none', true, false, 'x', 'key')`,
    [newId(), id, newId()],
  )

async function session(id: string): Promise<string> {
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
  await server.db.store.query(
    `insert into session (id, hash, identity_id, aal, authenticated_at, method, browser, ends_at, idle_seconds)
     values ($1, sha256(convert_to($2, 'UTF8')), $3, 3, now(), 'oidc', '', now() + interval '1 hour', 3600)`,
    [newId(), token, id],
  )
  return `rekey-session=${token}`
}

const bind = (role: string, kind: string, subject: string, more: object = {}, by: { post: Asker['post'] } = server) =>
  by.post('/v1/role-bindings', { role, kind, subject, reason: 'tests of mine', ...more })
const teamOf = async (name: string) => ok(await server.post('/v1/teams', { name })).id as string
const members = (team: string, body: object, by: { post: Asker['post'] } = server) => by.post(`/v1/teams/${team}/members`, body)
const mayDiff = async (by: Asker) => (await by.post('/v1/fleet/diff', { text: fleet(), folder: '/tmp' })).status === 200
const explained = async (name: string, action: string) =>
  ok(
    await server.post('/v1/policies/explain', {
      action,
      holder: { kind: 'identity', name },
      principal: { aal: 3, minutesSinceLogin: 1 },
    }),
  )
const events = async (type: string) =>
  await server.db.store.query<{ data: unknown }>(
    `select body::jsonb -> 'data' as data from evidence_event where body::jsonb ->> 'type' = $1 order by id`,
    [type],
  )

function fleet(identities = ''): string {
  return `version: 1\nsystems: []\nidentities: [${identities}]\ncredentials: []\n`
}

test('directory rights give no credential rights by joining a team that holds a role', async () => {
  const dir = await person(`dir-${x}`, 'directory-admin')
  const [team, above] = [await teamOf(`ops-${x}`), await teamOf(`above-${x}`)]
  ok(await members(above, { add: { teams: [team] } }))
  ok(await bind('credential-admin', 'team', above))
  expect(await mayDiff(dir)).toBe(false)
  for (const to of [team, above]) {
    const refused = await members(to, { add: { identities: [dir.id] } }, dir)
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden'])
    expect(refused.body.detail).toMatch(/This team holds roles/)
  }
  // Neither by a team of her own that is put into it, nor by somebody else she puts there.
  const mine = await teamOf(`mine-${x}`)
  ok(await members(mine, { add: { identities: [dir.id] } }, dir))
  expect((await members(above, { add: { teams: [mine] } }, dir)).status).toBe(403)
  const friend = await person(`friend-${x}`)
  expect((await members(team, { add: { identities: [friend.id] } }, dir)).status).toBe(403)
  expect(await mayDiff(dir)).toBe(false)
  expect(await mayDiff(friend)).toBe(false)
  // A team without roles is hers to keep, and whoever goes from one with roles gets nothing by it.
  ok(await members(mine, { add: { identities: [friend.id] } }, dir))
  ok(await members(team, { add: { identities: [friend.id] } }))
  expect(await mayDiff(friend)).toBe(true)
  ok(await members(team, { remove: { identities: [friend.id] } }, dir))
})

test('who may bind roles and keep teams puts others into them, never themselves or what is theirs', async () => {
  const sec = await person(`sec-${x}`, 'directory-admin', 'security-admin')
  const other = await person(`other-${x}`)
  const team = await teamOf(`night-${x}`)
  ok(await bind('operator', 'team', team))
  ok(await members(team, { add: { identities: [other.id] } }, sec))
  expect(await mayDiff(other)).toBe(true)
  const own = ok(
    await server.post('/v1/identities', {
      name: `bot-${x}`,
      kind: 'workload',
      owner: `person:${sec.name}`,
      purpose: 'helps',
      environment: 'test',
    }),
  )
  const crew = await teamOf(`crew-${x}`)
  ok(await members(crew, { add: { identities: [sec.id] } }))
  for (const add of [{ identities: [sec.id] }, { identities: [own.id] }, { teams: [crew] }]) {
    const refused = await members(team, { add }, sec)
    expect([refused.status, refused.body.detail]).toEqual([403, expect.stringMatching(/^Nobody puts themselves/)])
  }
})

test('a rule on binding roles holds for members of a team that holds some', async () => {
  const approver = await person(`yes-${x}`)
  const approvers = await teamOf(`approvers-${x}`)
  ok(await members(approvers, { add: { identities: [approver.id] } }))
  const team = await teamOf(`ruled-${x}`)
  const ada = await person(`ruled-ada-${x}`)
  ok(await bind('operator', 'team', team))
  ok(await server.post('/v1/approval-rules', { action: 'role:bind', factors: [{ team: approvers, count: 1 }], reason: 'two of us' }))
  try {
    const body = { add: { identities: [ada.id] }, reason: 'joins the shift' }
    const waits = await members(team, body)
    expect([waits.status, waits.body.code]).toEqual([409, 'approval_required'])
    expect(await mayDiff(ada)).toBe(false)
    const { digest, what } = (await server.get(`/v1/approvals/${waits.body.approval}`)).body
    expect(what).toMatchObject({ team, add: { identities: [ada.id] }, roles: ['operator'] })
    ok(await approver.post(`/v1/approvals/${waits.body.approval}/approve`, { digest, reason: 'read it' }))
    ok(await members(team, body))
    expect(await mayDiff(ada)).toBe(true)
    // Used up: the next change asks again.
    ok(await members(team, { remove: { identities: [ada.id] } }))
    expect((await members(team, body)).status).toBe(409)
  } finally {
    const refused = await server.post('/v1/approval-rules/role:bind/remove', { reason: 'end of test' })
    expect(refused.status, refused.text).toBe(204)
  }
})

test('nobody comes to both hands through a team without a forced reason', async () => {
  const two = await person(`two-${x}`, 'directory-admin')
  const [inner, outer] = [await teamOf(`inner-${x}`), await teamOf(`outer-${x}`)]
  ok(await members(inner, { add: { identities: [two.id] } }))
  ok(await members(outer, { add: { teams: [inner] } }))
  const refuse = (answer: Answered) => {
    expect([answer.status, answer.body.code], answer.text).toEqual([409, 'wrong_state'])
    expect(answer.body.detail).toContain(two.name)
  }
  // Bound to a team around hers; nested into one that has it; put into one that has it.
  refuse(await bind('credential-admin', 'team', outer))
  ok(await members(outer, { remove: { teams: [inner] } }))
  ok(await bind('credential-admin', 'team', outer))
  refuse(await members(outer, { add: { teams: [inner] } }))
  refuse(await members(outer, { add: { identities: [two.id] } }))
  expect(await mayDiff(two)).toBe(false)
  expect((await members(outer, { add: { identities: [two.id] }, force: true, reason: 'short' })).status).toBe(400)
  const reason = `there are only two of us ${x}`
  ok(await members(outer, { add: { identities: [two.id] }, force: true, reason }))
  expect(await mayDiff(two)).toBe(true)
  expect((await events('role.forced')).map(({ data }) => data)).toContainEqual({ to: 'team', reason, identities: [two.id] })
  // The other way round: the hand that she lacks is bound to her.
  const third = await person(`third-${x}`)
  ok(await members(outer, { add: { identities: [third.id] } }))
  const direct = await bind('directory-admin', 'identity', third.id)
  expect([direct.status, direct.body.code]).toEqual([409, 'wrong_state'])
})

test('a directory gives people roles through its groups, and never the second hand', async () => {
  const idp = await Provider.add(server, `idp-${x}`)
  const name = `scim-${x}@example.com`
  const user = await idp.user(name)
  const [ops, dirs] = [await idp.group(`ops-${x}`), await idp.group(`dirs-${x}`)]
  ok(await bind('operator', 'team', ops))
  ok(await bind('directory-admin', 'team', dirs))
  const join = (group: string) => idp.patch(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: user }] })
  ok(await join(ops))
  expect(await explained(name, 'rotation:start')).toMatchObject({ allowed: true, roles: ['operator'], withheld: [] })
  // The provider is not refused; what it says gives neither hand as long as it says both.
  ok(await join(dirs))
  expect((await explained(name, 'rotation:start')).allowed).toBe(false)
  expect(await explained(name, 'identity:join')).toMatchObject({ allowed: false, withheld: ['directory-admin', 'operator'] })
  // What was given by hand stays.
  const { id } = (await server.get(`/v1/identities/${encodeURIComponent(name)}`)).body
  const forced = { force: true, reason: 'she is all we have' }
  await idp.patch(`/Groups/${dirs}`, { op: 'remove', path: `members[value eq "${user}"]` })
  expect((await explained(name, 'rotation:start')).allowed).toBe(true)
  expect((await bind('directory-admin', 'identity', id)).status).toBe(409)
  ok(await bind('directory-admin', 'identity', id, forced))
  expect((await explained(name, 'rotation:start')).allowed).toBe(true)
  expect((await explained(name, 'identity:join')).allowed).toBe(true)
})

test('by hand first, by a directory then: the directory adds no second hand', async () => {
  const idp = await Provider.add(server, `idq-${x}`)
  const name = `given-${x}@example.com`
  const user = await idp.user(name)
  const group = await idp.group(`grp-${x}`)
  ok(await bind('operator', 'team', group))
  const { id } = (await server.get(`/v1/identities/${encodeURIComponent(name)}`)).body
  ok(await bind('directory-admin', 'identity', id))
  await idp.patch(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: user }] })
  expect((await explained(name, 'identity:join')).allowed).toBe(true)
  expect(await explained(name, 'rotation:start')).toMatchObject({ allowed: false, withheld: ['operator'] })
})

const apply = async (by: Asker | TestServer, identities: string, more: object = {}) => {
  const input = { text: fleet(identities), folder: '/tmp' }
  const { digest } = ok(await by.post('/v1/fleet/diff', input))
  return by.post('/v1/fleet/apply', { ...input, digest, prune: false, secrets: {}, authorities: {}, ...more })
}
const one = (name: string, more = '') => `{ name: ${name}, kind: workload, owner: boss-${x}, purpose: p, environment: test ${more} }`

test('credential rights make, change and remove no identity by a fleet file, and refer to those that are there', async () => {
  const boss = await person(`boss-${x}`)
  const cred = await person(`cred-${x}`, 'credential-admin')
  const made = { name: `made-${x}`, kind: 'workload', owner: boss.name, purpose: 'p', environment: 'test' }
  const { id } = ok(await server.post('/v1/identities', made))
  const before = ok(await server.get(`/v1/identities/${id}`))
  const refuse = (answer: Answered, name: string, right: string) => {
    expect([answer.status, answer.body.code], answer.text).toEqual([403, 'forbidden'])
    expect(answer.body.detail).toContain(`${name}, and you may not do ${right}.`)
    expect(answer.body.hint).toMatch(/somebody who may/)
  }
  refuse(await apply(cred, one(`new-${x}`)), `the identity new-${x}`, 'identity:join')
  refuse(await apply(cred, `{ name: man-${x}, kind: human, owner: boss-${x}, purpose: p, environment: test }`), `man-${x}`, 'identity:join')
  for (const change of ['environment: prod', 'purpose: other', 'owner: nobody-at-all']) {
    const fields = one(made.name).replace(new RegExp(`${change.split(':')[0]}: [^,}]+`), change)
    refuse(await apply(cred, fields), made.name, 'identity:move')
  }
  // As it is on record, it may be named.
  ok(await apply(cred, one(made.name)))
  expect(ok(await server.get(`/v1/identities/${id}`))).toEqual(before)
  // Whoever holds both hands by force declares them as before; and takes them away.
  ok(await apply(server, `${one(made.name)}, ${one(`new-${x}`)}`))
  expect((await apply(cred, one(made.name), { prune: true })).body).toMatchObject({
    code: 'forbidden',
    detail: expect.stringContaining('identity:offboard'),
  })
  ok(await apply(server, one(made.name), { prune: true }))
  expect((await server.get(`/v1/identities/new-${x}`)).status).toBe(404)
})

test('a fleet file leaves nobody without the owner that they have, and does not get round an approval', async () => {
  const boss = await person(`boss-${x}`)
  ok(await apply(server, one(`kept-${x}`)))
  const shown = async () => ok(await server.get(`/v1/identities/kept-${x}`))
  expect((await shown()).ownerId).toBe(boss.id)
  const refused = await apply(server, one(`kept-${x}`).replace(/owner: [^,]+/, 'owner: nobody-at-all'))
  expect([refused.status, refused.body.code]).toEqual([409, 'conflict'])
  expect((await shown()).ownerId).toBe(boss.id)
  const crew = await teamOf(`appr-${x}`)
  ok(await members(crew, { add: { identities: [boss.id] } }))
  ok(await server.post('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team: crew, count: 1 }], reason: 'two of us' }))
  try {
    const pruned = await apply(server, '', { prune: true })
    expect([pruned.status, pruned.body.code]).toEqual([409, 'conflict'])
    expect((await shown()).status).toBe('active')
  } finally {
    expect((await server.post('/v1/approval-rules/identity:offboard/remove', { reason: 'end of test' })).status).toBe(204)
  }
})

const tokenOf = async (by: { post: Asker['post'] }, fields: object): Promise<Asker> => {
  const name = `t-${newId()}`
  const { id, token } = ok(await by.post('/v1/tokens', { name, reason: 'tests of mine', ...fields }))
  return { id, name, post: (path, body = {}) => server.send('POST', path, { token, body }) }
}

test('nobody binds a role to their own token, agent or workload, nor to one that they made', async () => {
  const eve = await person(`eve-${x}`, 'security-admin')
  const nobodys = await tokenOf(eve, { roles: ['security-admin'] })
  const hers = await tokenOf(eve, { roles: ['security-admin'], identity: eve.name })
  const made = await tokenOf(nobodys, { roles: ['security-admin'] })
  const owned = { owner: `person:${eve.name}`, purpose: 'p', environment: 'test' }
  const [bot, agent] = await Promise.all(
    ['workload', 'agent'].map(async (kind) => ok(await server.post('/v1/identities', { name: `${kind}-${x}`, kind, ...owned }))),
  )
  const crew = await teamOf(`evil-${x}`)
  ok(await members(crew, { add: { identities: [eve.id] } }))
  const crews = ok(await server.post('/v1/identities', { ...owned, name: `crews-${x}`, kind: 'workload', owner: `team:${crew}` }))
  const nested = await teamOf(`nest-${x}`)
  ok(await members(nested, { add: { teams: [crew] } }))
  const subjects = [
    ...[nobodys, hers, made].map(({ id }) => ['token', id] as const),
    ...[eve.id, bot.id, agent.id, crews.id].map((id) => ['identity', id] as const),
    ...[crew, nested].map((id) => ['team', id] as const),
  ]
  for (const by of [eve, nobodys, hers, made]) {
    for (const [kind, subject] of subjects) {
      for (const more of [{}, { force: true }]) {
        const refused = await bind('credential-admin', kind, subject, more, by)
        expect([refused.status, refused.body.code], `${by.name} ${kind}`).toEqual([403, 'forbidden'])
      }
    }
  }
  for (const one of [eve, nobodys, hers, made]) expect(await mayDiff(one)).toBe(false)
})

test('a role bound to a token gives it no more than who binds it may do', async () => {
  const sec = await person(`sec-${x}`, 'security-admin')
  const other = await tokenOf(server, { roles: ['auditor'] })
  const refused = await bind('credential-admin', 'token', other.id, {}, sec)
  expect([refused.status, refused.body.detail]).toEqual([403, expect.stringMatching(/could do more than you/)])
  ok(await bind('security-admin', 'token', other.id, {}, sec))
  ok(await bind('operator', 'token', other.id))
})

test('a token gives whoever it is of no second hand without a forced reason', async () => {
  const dora = await person(`dora-${x}`, 'directory-admin')
  const fields = { name: `dora-cred-${x}`, roles: ['credential-admin'], identity: dora.name, reason: 'because she needs it' }
  const made = await server.post('/v1/tokens', fields)
  expect([made.status, made.body.code], made.text).toEqual([409, 'wrong_state'])
  const hers = await tokenOf(server, { roles: ['auditor'], identity: dora.name })
  expect((await bind('credential-admin', 'token', hers.id)).status).toBe(409)
  ok(await bind('credential-admin', 'token', hers.id, { force: true }))
  expect((await events('role.forced')).map(({ data }) => data)).toContainEqual(expect.objectContaining({ identities: [dora.id] }))
})

test('where a rule asks for approval of policies, no program bypasses it, and a person who does tells every approver', async () => {
  const approver = await person(`pol-${x}`)
  const crew = await teamOf(`pol-crew-${x}`)
  ok(await members(crew, { add: { identities: [approver.id] } }))
  const boss = await person(`chief-${x}`)
  ok(await bind('bootstrap-admin', 'identity', boss.id, { force: true, reason: 'runs all of it here' }))
  ok(await server.post('/v1/approval-rules', { action: 'policy:approve', factors: [{ team: crew, count: 1 }], reason: 'two of us' }))
  try {
    const text = `permit (principal in Role::"r-${x}", action == Action::"status:read", resource);`
    const set = ok(await server.post('/v1/policies', { files: [{ name: `r-${x}.cedar`, text }], reason: 'tests' }))
    const past = { digest: set.digest, reason: 'in a hurry today' }
    const bot = ok(
      await server.post('/v1/identities', {
        name: `pb-${x}`,
        kind: 'workload',
        owner: `person:${boss.name}`,
        purpose: 'p',
        environment: 'e',
      }),
    )
    const hers = await tokenOf(server, { roles: ['bootstrap-admin'], identity: boss.name, force: true })
    const bots = await tokenOf(server, { roles: ['bootstrap-admin'], identity: bot.name, force: true })
    for (const by of [server, hers, bots]) {
      const refused = await by.post(`/v1/policies/${set.id}/bypass`, past)
      expect([refused.status, refused.body.detail]).toEqual([403, expect.stringMatching(/only people bypass it/)])
    }
    ok(await boss.post(`/v1/policies/${set.id}/bypass`, past))
    expect(ok(await server.get('/v1/policies/active')).id).toBe(set.id)
    expect((await events('approval.bypassed')).at(-1)?.data).toMatchObject({ by: boss.id, reason: past.reason, skipped: [approver.id] })
    const told = await server.db.store.query(
      `select a.state, d.identity_id from approval a join approval_approver d on d.approval_id = a.id where a.subject = $1`,
      [set.id],
    )
    expect(told).toEqual([{ state: 'consumed', identity_id: approver.id }])
  } finally {
    expect((await server.post('/v1/approval-rules/policy:approve/remove', { reason: 'end of test' })).status).toBe(204)
  }
})

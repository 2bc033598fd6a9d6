/** Logins by an address that a directory pushed: whoever holds a directory's token becomes nobody by it, and keeps nobody out. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type OidcLab, startOidc } from '../../test/lab/oidc.ts'
import type { EventBody } from '../evidence/index.ts'
import { fsckIdentities } from '../identity/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { PATCH_URN, Provider } from './routes/scim/testing.ts'
import { done } from './routes/tokens/testing.ts'
import { type Answered, TestServer } from './testing.ts'

let server: TestServer
let idp: OidcLab
let hr: Provider
let dave: Visitor

/** An account `sub-NAME` at the provider, for each with the verified address NAME@example.org. */
const ACCOUNTS = [
  'alice',
  'anna',
  'bert',
  'carl',
  'carol',
  'cleo',
  'dave',
  'dave2',
  'dave3',
  'emil',
  'emma',
  'finn',
  'gus',
  'hans',
  'ines',
  'jo',
  'kate',
]
const mail = (name: string) => ({ emails: [{ value: `${name}@example.org`, primary: true }] })

beforeAll(async () => {
  server = await TestServer.start()
  const emails = Object.fromEntries(ACCOUNTS.map((name) => [`sub-${name}`, { email: `${name}@example.org`, verified: true }]))
  idp = await startOidc({ redirectUris: [`${server.url}/login/callback/corp`], emails })
  const { issuer, clientId, clientSecret } = idp
  const secret = Buffer.from(clientSecret).toString('base64')
  const provider = { name: 'corp', issuer, clientId, auth: 'client_secret_basic', secret, acr: { mfa: 2 }, linkByEmail: true }
  done(await server.post('/v1/login/providers', provider))
  hr = await Provider.add(server, 'hr')
  const { id } = done(await server.post('/v1/identities', { name: 'dave', kind: 'human' }))
  await bind('directory-admin', id)
  await link('dave')
  dave = await loggedIn('dave')
})
afterAll(async () => {
  await idp.stop()
  await server.stop()
})
afterEach(async () => {
  expect(server.undeclared()).toEqual([])
  expect(await fsckIdentities(server.db.store)).toEqual([])
})

const bind = async (role: string, subject: string) =>
  done(await server.post('/v1/role-bindings', { role, kind: 'identity', subject, reason: 'tests', force: true }))
const link = async (name: string, subject = `sub-${name}`) =>
  done(await server.post('/v1/login/links', { identity: name, provider: 'corp', subject, reason: 'seen in person' }))
const idOf = async (name: string): Promise<string> => done(await server.get(`/v1/identities/${name}`)).id

async function login(visitor: Visitor, name: string): Promise<Answered> {
  const { url } = done(await visitor.post('/v1/login/oidc/begin', { provider: 'corp' }))
  const response = await idp.visit(url, { account: `sub-${name}`, acr: 'mfa' })
  return visitor.post('/v1/login/oidc/finish', { provider: 'corp', response })
}

async function loggedIn(name: string): Promise<Visitor> {
  const visitor = new Visitor(server)
  done(await login(visitor, name))
  return visitor
}

/** What the answer to a failed login is, whoever it was. */
async function refused(name: string): Promise<void> {
  await server.db.store.query('delete from login_counter')
  const [answer, stranger] = [await login(new Visitor(server), name), await login(new Visitor(server), 'jo')]
  expect([answer.status, answer.text]).toEqual([401, stranger.text])
}

async function events(type: string, identity: string): Promise<EventBody[]> {
  const rows = await server.db.store.query<{ body: EventBody }>(
    `select body::jsonb as body from evidence_event
      where body::jsonb ->> 'type' = $1 and body::jsonb -> 'links' ->> 'identity' = $2 order by id`,
    [type, identity],
  )
  return rows.map(({ body }) => body)
}

/** As the directory, with a token that Dave made himself. */
async function asDave(provider = 'hr'): Promise<{ patch(user: string, ...operations: unknown[]): Promise<void> }> {
  const { token } = done(await dave.post(`/v1/scim/providers/${provider}/rotate-token`, {}))
  const headers = { 'content-type': 'application/scim+json' }
  return {
    async patch(user, ...Operations) {
      done(await server.send('PATCH', `/scim/v2/Users/${user}`, { token, body: { schemas: [PATCH_URN], Operations }, headers }))
    },
  }
}
const giveAddress = (name: string) => ({ op: 'replace', path: 'emails', value: mail(name).emails })

// First: later on somebody is here who may approve policies.
test('nobody whom a policy names is linked by an address, however it writes the name; nor anybody while one may mean anybody', async () => {
  const inForce = async (files: readonly object[]) => {
    const set = done(await server.post('/v1/policies', { files, reason: 'tests' }))
    done(await server.post(`/v1/policies/${set.id}/bypass`, { reason: 'nobody is here to approve', digest: set.digest }))
  }
  const about = (condition: string) =>
    inForce([{ name: 'own.cedar', text: `permit (principal, action == Action::"usable:read", resource) when { ${condition} };` }])
  await hr.user('kate', mail('kate'))
  const id = await idOf('kate')
  const escaped = `"\\u{${id.charCodeAt(0).toString(16)}}${id.slice(1)}"`
  const like = `principal.identity like "${id.slice(0, 4)}*"`
  for (const condition of [
    `principal == Person::${escaped}`,
    ...[`principal.identity == ${escaped}`, like].map((it) => `principal has identity && ${it}`),
  ]) {
    await about(condition)
    await refused('kate')
  }
  await about('principal == Person::"somebody else"')
  await loggedIn('kate')
  await inForce([{ name: 'own.cedar', text: '// nothing\n' }])
})

test('who may issue the token of a directory does not log in as somebody to whom they gave an address of their own', async () => {
  const alice = await hr.user('alice', mail('alice'))
  await bind('credential-admin', await idOf('alice'))
  const emma = await hr.user('emma', mail('emma'))
  const token = await asDave()
  await token.patch(alice, giveAddress('dave2'))
  await token.patch(emma, { op: 'add', path: 'emails', value: [{ value: 'dave3@example.org' }] })
  await refused('dave2')
  // Nor as somebody who has nothing yet, whose own address still counts.
  await refused('dave3')
  expect((await loggedIn('emma')).cookies.size).toBeGreaterThan(0)
  const why = 'the address is not that with which the directory first pushed them'
  for (const [name, subject] of [
    ['alice', 'sub-dave2'],
    ['emma', 'sub-dave3'],
  ] as const) {
    const [event] = await events('login.refused', await idOf(name))
    expect(event).toMatchObject({ actor: `oidc:corp|${subject}`, subject: name, data: { why, provider: 'corp', directory: 'hr' } })
    expect(JSON.stringify(event)).not.toContain('example.org')
    expect(server.lines.map((line) => JSON.stringify(line)).join('\n')).toContain(`${name}: ${why}; link them by hand`)
  }
  // An address that is taken away and given back is a later one.
  await token.patch(alice, giveAddress('alice'))
  await refused('alice')
  await link('alice')
  expect((await (await loggedIn('alice')).get('/v1/session')).body.name).toBe('alice')
})

test('nobody who holds something by hand is linked by an address, by whatever identity; by hand they are', async () => {
  await hr.user('anna', mail('anna'))
  await hr.user('bert', mail('bert'))
  await hr.user('carl', mail('carl'))
  await hr.user('hans', mail('hans'))
  const [anna, bert, carl, hans] = await Promise.all(['anna', 'bert', 'carl', 'hans'].map(idOf))
  await bind('approver', anna ?? '')
  const { id: team } = done(await server.post('/v1/teams', { name: 'deciders' }))
  done(await server.post(`/v1/teams/${team}/members`, { add: { identities: [bert] } }))
  // Carl's rights are those of his other identity.
  const { id: other } = done(await server.post('/v1/identities', { name: 'carl-admin', kind: 'human' }))
  await bind('credential-admin', other)
  done(await server.post('/v1/identities/carl/same-person', { other: 'carl-admin', same: true, reason: 'he says so' }))
  done(await server.post('/v1/tokens', { name: 'of hans', roles: ['operator'], identity: hans, reason: 'tests' }))
  for (const name of ['anna', 'bert', 'carl', 'hans']) {
    await refused(name)
    const [event] = await events('login.refused', await idOf(name))
    expect(event?.data.why).toBe('an address links nobody who holds something given by hand')
    await link(name)
    await loggedIn(name)
  }
  expect(carl).not.toBe(other)
})

test('one person does not meet a rule of two by a directory token and two accounts', async () => {
  const [finn, gus] = [await hr.user('finn', mail('finn')), await hr.user('gus', mail('gus'))]
  await hr.user('ines', mail('ines'))
  const { id: team } = done(await server.post('/v1/teams', { name: 'pair' }))
  done(await server.post(`/v1/teams/${team}/members`, { add: { identities: [await idOf('finn'), await idOf('gus')] } }))
  for (const name of ['finn', 'gus']) await bind('approver', await idOf(name))
  done(await server.post('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team, count: 2 }], reason: 'two people' }))
  try {
    const token = await asDave()
    await token.patch(finn, giveAddress('dave2'))
    await token.patch(gus, giveAddress('dave3'))
    const asked = await dave.post(`/v1/identities/${await idOf('ines')}/offboard`, { reason: 'dave wants it' })
    expect(asked.body.code).toBe('approval_required')
    for (const name of ['dave2', 'dave3']) {
      const visitor = new Visitor(server)
      expect((await login(visitor, name)).status).toBe(401)
      expect((await visitor.get(`/v1/approvals/${asked.body.approval}`)).status).toBe(401)
    }
    await link('finn')
    const shown = done(await (await loggedIn('finn')).get(`/v1/approvals/${asked.body.approval}`))
    expect(shown.decisions).toEqual([])
  } finally {
    done(await server.post('/v1/approval-rules/identity:offboard/remove', { reason: 'end' }))
  }
})

test('a directory that says so later keeps nobody out, and the link tells whose word it was', async () => {
  const user = await hr.user('carol', mail('carol'))
  await hr.user('cleo', mail('cleo'))
  const own = done(await dave.post('/v1/scim/providers', { name: 'daves' }))
  const headers = { 'content-type': 'application/scim+json' }
  const push = async (userName: string, ...names: string[]) => {
    const emails = names.map((name) => ({ value: `${name}@example.org` }))
    const body = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName, emails }
    done(await server.send('POST', '/scim/v2/Users', { token: own.token, body, headers }))
  }
  await push('nobody', 'carol', 'alice')
  await push('emil', 'emil')
  // One directory that says it of two is not believed.
  await hr.user('cleo-too', mail('cleo'))
  await refused('cleo')
  const carol = await idOf('carol')
  expect((await (await loggedIn('carol')).get('/v1/session')).body).toMatchObject({ name: 'carol' })
  const [linked] = await events('login.linked_by_address', carol)
  expect(linked).toMatchObject({ actor: 'oidc:corp|sub-carol', links: { scim_user: user }, data: { provider: 'corp', directory: 'hr' } })
  expect(linked?.data.address).toMatch(/^[0-9a-f]{64}$/)
  const [changed] = await events('identity.external_ids_changed', carol)
  expect(changed?.actor).toBe('oidc:corp|sub-carol')
  expect((await (await loggedIn('emil')).get('/v1/session')).body).toMatchObject({ name: 'emil' })
})

test('what a directory does names the token by which it did it', async () => {
  const before = await hr.user('told', mail('told'))
  const token = await asDave()
  await token.patch(before, { op: 'replace', path: 'active', value: false })
  const [[first, last], [suspended]] = [
    await events('scim_user.stands', await idOf('told')),
    await events('identity.suspended', await idOf('told')),
  ]
  const made = await server.db.store.query<{ id: string }>(
    "select t.id from scim_token t join scim_provider p on p.id = t.provider_id where p.name = 'hr' order by t.created_at, t.id",
  )
  expect(first?.links.scim_token).toBe(made[0]?.id)
  expect(last?.links.scim_token).toBe(made.at(-1)?.id)
  expect(suspended).toMatchObject({ actor: 'scim:hr', links: { scim_token: made.at(-1)?.id } })
})

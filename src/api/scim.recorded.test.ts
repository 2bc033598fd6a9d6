/** Requests in the shapes that Microsoft Entra ID and Okta document and send, in their order; and whatever anybody might send. */
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { ENTERPRISE, PATCH_URN, Provider } from './routes/scim/testing.ts'
import { TestServer } from './testing.ts'

const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User'
const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group'
const ENTRA_GROUP_URN = 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group'

let server: TestServer
let entra: Provider
let okta: Provider
beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: 1_000_000 })
  entra = await Provider.add(server, 'entra')
  okta = await Provider.add(server, 'okta')
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const patch = (...Operations: unknown[]) => ({ schemas: [PATCH_URN], Operations })

test('Entra ID: test of the connection, a user, changes, a group, a leaver', async () => {
  const probe = await entra.find('/Users', 'userName eq "3fa6e1b1-8d55-4f4f-bd2c-1d3b5e2ad000"')
  expect(probe.body).toMatchObject({ totalResults: 0, Resources: [] })
  const made = await entra.send('POST', '/Users', {
    schemas: [USER_URN, ENTERPRISE],
    externalId: '0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef',
    userName: 'Test_User_ab6490ee@testuser.com',
    active: true,
    emails: [{ primary: true, type: 'work', value: 'Test_User_fd0ea19b@testuser.com' }],
    meta: { resourceType: 'User' },
    name: { formatted: 'givenName familyName', familyName: 'familyName', givenName: 'givenName' },
    roles: [],
  })
  expect(made.status).toBe(201)
  const user = `/Users/${made.body.id}`
  const changed = await entra.send(
    'PATCH',
    user,
    patch(
      { op: 'Replace', path: 'emails[type eq "work"].value', value: 'updatedEmail@example.com' },
      { op: 'Replace', path: 'name.familyName', value: 'updatedFamilyName' },
      { op: 'Add', path: 'addresses[type eq "work"].country', value: 'PL' },
      { op: 'Add', path: `${ENTERPRISE}:department`, value: 'R&D' },
      { op: 'Add', path: `${ENTERPRISE}:manager`, value: 'not-here-yet' },
    ),
  )
  expect(changed.body).toMatchObject({
    emails: [{ primary: true, type: 'work', value: 'updatedEmail@example.com' }],
    name: { givenName: 'givenName', familyName: 'updatedFamilyName' },
    addresses: [{ type: 'work', country: 'PL' }],
    [ENTERPRISE]: { department: 'R&D', manager: { value: 'not-here-yet' } },
  })
  expect((await entra.find('/Users', 'externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"')).body.totalResults).toBe(1)
  const group = await entra.send('POST', '/Groups', {
    schemas: [GROUP_URN, ENTRA_GROUP_URN],
    externalId: '8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159',
    displayName: 'displayName',
    meta: { resourceType: 'Group' },
  })
  const path = `/Groups/${group.body.id}`
  const listed = await entra.get(`/Groups?excludedAttributes=members&filter=${encodeURIComponent('displayName eq "DisplayName"')}`)
  expect(listed.body).toMatchObject({ totalResults: 1, Resources: [{ displayName: 'displayName' }] })
  const member = [{ $ref: null, value: made.body.id }]
  expect((await entra.send('PATCH', path, patch({ op: 'Add', path: 'members', value: member }))).status).toBe(204)
  const asked = `id eq "${group.body.id}" and members eq "${made.body.id}"`
  expect((await entra.find('/Groups', asked)).body.totalResults).toBe(1)
  expect((await entra.send('PATCH', path, patch({ op: 'Remove', path: 'members', value: member }))).status).toBe(204)
  expect((await entra.find('/Groups', asked)).body.totalResults).toBe(0)
  expect((await entra.send('PATCH', path, patch({ op: 'Replace', path: 'displayName', value: '1879db59' }))).status).toBe(204)
  expect((await entra.get(`${path}?excludedAttributes=members`)).body.displayName).toBe('1879db59')
  const left = await entra.send('PATCH', user, patch({ op: 'Replace', path: 'active', value: 'False' }))
  expect(left.body.active).toBe(false)
  const back = await entra.send('PATCH', user, patch({ op: 'Replace', value: { active: true, 'emails[type eq "work"].value': 'new@x' } }))
  expect(back.body).toMatchObject({ active: true, emails: [{ value: 'new@x' }] })
  expect((await entra.send('DELETE', path)).status).toBe(204)
  expect((await entra.send('DELETE', user)).status).toBe(204)
})

test('Okta: search, a user with a password, PUT of the profile, group push, deactivation', async () => {
  const search = `/Users?filter=${encodeURIComponent('userName eq "test.user@okta.local"')}&startIndex=1&count=100`
  expect((await okta.get(search)).body).toMatchObject({ totalResults: 0, startIndex: 1, itemsPerPage: 0 })
  const profile = {
    schemas: [USER_URN],
    userName: 'test.user@okta.local',
    name: { givenName: 'Test', familyName: 'User' },
    emails: [{ primary: true, value: 'test.user@okta.local', type: 'work' }],
    displayName: 'Test User',
    locale: 'en-US',
    externalId: '00ujl29u0le5T6Aj10h7',
    groups: [],
    password: '1mz050nq',
    active: true,
  }
  const made = await okta.send('POST', '/Users', profile)
  expect(made.status).toBe(201)
  expect(made.body).not.toHaveProperty('password')
  expect((await okta.get('/Users?startIndex=1&count=100')).body.totalResults).toBe(1)
  const put = await okta.send('PUT', `/Users/${made.body.id}`, {
    ...profile,
    id: made.body.id,
    name: { givenName: 'Another', middleName: '', familyName: 'User' },
    meta: { resourceType: 'User' },
  })
  expect(put.body).toMatchObject({ id: made.body.id, name: { givenName: 'Another' } })
  const group = await okta.send('POST', '/Groups', { schemas: [GROUP_URN], displayName: 'Test SCIMv2', members: [] })
  const path = `/Groups/${group.body.id}`
  const member = { value: made.body.id, display: 'test.user@okta.local' }
  await okta.send('PATCH', path, patch({ op: 'add', path: 'members', value: [member] }))
  await okta.send('PATCH', path, patch({ op: 'replace', value: { id: group.body.id, displayName: 'Test SCIMv2 1' } }))
  expect((await okta.get(path)).body).toMatchObject({ displayName: 'Test SCIMv2 1', members: [{ value: made.body.id }] })
  await okta.send('PATCH', path, patch({ op: 'remove', path: `members[value eq "${made.body.id}"]` }))
  await okta.send('PATCH', path, patch({ op: 'replace', path: 'members', value: [member] }))
  expect(await okta.members(group.body.id)).toEqual([made.body.id])
  const left = await okta.send('PATCH', `/Users/${made.body.id}`, patch({ op: 'replace', value: { active: false } }))
  expect([left.status, left.body.active]).toEqual([200, false])
  expect((await okta.get(search)).body.Resources).toMatchObject([{ active: false }])
})

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom('False', '', '\u0000', '__proto__', 'x'.repeat(1_100)))
const name = fc.constantFrom(
  'userName',
  'active',
  'emails',
  'members',
  'displayName',
  'name',
  'Operations',
  'schemas',
  'id',
  'op',
  'path',
  'value',
)
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, 0, -1.5),
    text,
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(fc.oneof(name, text), tie('json'), { maxKeys: 4 }),
  ),
}))
const path = fc.oneof(
  fc.constantFrom(
    'active',
    'emails[type eq "work"].value',
    'members',
    `members[value eq "x"]`,
    ENTERPRISE,
    `${ENTERPRISE}:manager`,
    'name',
  ),
  text,
)
const operation = fc.record({ op: fc.constantFrom('add', 'Replace', 'REMOVE'), path, value: json }, { requiredKeys: ['op'] })
const body = fc.oneof(
  json,
  fc.record({ schemas: fc.constant([PATCH_URN]), Operations: fc.array(operation, { minLength: 1, maxLength: 3 }) }),
)

const GOOD = { schemas: [PATCH_URN], Operations: [{ op: 'add', path: 'displayName', value: 'Somebody' }] }

test('whatever is sent: never a fault of the server, never a partial change, never for long', async () => {
  const user = await okta.user(`fuzzed ${newId()}`, { emails: [{ value: 'a', type: 'work' }] })
  const group = await okta.group('fuzzed', [user])
  const read = async (target: string) => {
    const { body: shown } = await okta.get(target)
    return JSON.stringify(shown)
  }
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(`/Users/${user}`, `/Groups/${group}`), fc.constantFrom('PATCH', 'PUT'), body, async (...given) => {
      const [target, method, sent] = given
      const before = await read(target)
      const answer = await okta.send(method, target, sent)
      expect(answer.status, answer.text).toBeLessThan(500)
      if (answer.status < 300) accepted++
      else expect(await read(target)).toBe(before)
    }),
    // What chance makes is hardly ever taken; this is.
    { numRuns: 300, interruptAfterTimeLimit: 120_000, examples: [[`/Users/${user}`, 'PATCH', GOOD]] },
  )
  expect(accepted).toBeGreaterThan(0)
  expect(server.lines.filter(({ level }) => level === 'error')).toEqual([])
}, 180_000)

test('whatever is asked for: never a fault of the server', async () => {
  const word = fc.constantFrom(
    'userName',
    'emails[',
    ']',
    '(',
    ')',
    'and',
    'or',
    'not',
    'eq',
    'pr',
    '"x"',
    'meta.lastModified gt "',
    '\\',
    'id eq "\u0000"',
  )
  const filter = fc.oneof(
    text,
    fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
  )
  const query = fc.record(
    { filter, startIndex: fc.oneof(text, fc.integer()), count: fc.oneof(text, fc.integer()), attributes: text },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('/Users', '/Groups', '/Users/.search', '/.search'), query, async (target, asked) => {
      const given = Object.entries(asked).map(([key, value]): [string, string] => [key, String(value).toWellFormed()])
      const answer = target.endsWith('.search')
        ? await okta.send('POST', target, asked)
        : await okta.get(`${target}?${new URLSearchParams(given)}`)
      expect(answer.status, answer.text).toBeLessThan(500)
    }),
    { numRuns: 300, interruptAfterTimeLimit: 120_000 },
  )
}, 180_000)

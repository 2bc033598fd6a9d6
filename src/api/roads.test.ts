/** Who can speak as somebody else, by an issuer or by a directory's token, stands behind it: over HTTP, with real issuers and directories. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { offboardDue } from '../identity/scim/index.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { Provider } from './routes/scim/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let idp: LabIssuer
let bob: Asker
beforeAll(async () => {
  people = await People.start()
  idp = await LabIssuer.start()
  bob = await people.person('bob', 'security-admin', 'directory-admin')
})
afterAll(async () => {
  await idp.stop()
  await people.stop()
})
afterEach(() => expect(people.server.undeclared()).toEqual([]))

const workload = async (owner: Pick<Asker, 'id'>, ...roles: readonly string[]) => {
  const fields = { name: `w ${newId()}`, kind: 'workload', owner: `person:${owner.id}`, purpose: 'ci', environment: 'test' }
  const made: { id: string; name: string } = await people.made('/v1/identities', fields)
  for (const role of roles)
    await people.made('/v1/role-bindings', { role, kind: 'identity', subject: made.id, reason: 'tests', force: true })
  return made
}
const inline = (issuer: LabIssuer, name: string) => ({
  name,
  type: 'oidc',
  origin: issuer.url,
  audience: 'rekey',
  keys: { from: 'inline', jwks: issuer.jwks() },
})
const signed = (issuer: LabIssuer, sub = 'mine') => {
  const now = Math.floor(Date.now() / 1000)
  return issuer.sign({ iss: issuer.url, aud: 'rekey', sub, iat: now, exp: now + 300, jti: newId() })
}
/** Asks as a program that proves itself anew at each request. */
const program = (issuer: LabIssuer, sub?: string): Pick<Asker, 'get' | 'post'> => ({
  get: async (path) => people.server.send('GET', path, { token: await signed(issuer, sub) }),
  post: async (path, body = {}) => people.server.send('POST', path, { token: await signed(issuer, sub), body }),
})
const decide = async (by: Asker, id: string) => {
  const { digest } = done(await people.server.get(`/v1/approvals/${id}`))
  return by.post(`/v1/approvals/${id}/approve`, { reason: 'fine', digest })
}
const underRule = async (action: string, crew: readonly Asker[], use: () => Promise<void>) => {
  const team = await people.team(newId(), ...crew)
  await people.made('/v1/approval-rules', { action, factors: [{ team, count: 1 }], reason: 'two pairs of eyes' })
  try {
    await use()
  } finally {
    done(await people.server.post(`/v1/approval-rules/${action}/remove`, { reason: 'end' }))
  }
}
const own = await (async () => {
  /** An issuer of somebody's own, whose tokens stand for the workload. */
  return async (by: Asker, workload: string, mapper: Asker = by) => {
    const issuer = await LabIssuer.start()
    const name = newId()
    done(await by.post('/v1/issuers', inline(issuer, name)))
    done(await mapper.post(`/v1/issuers/${name}/rules`, { identity: workload, claims: { sub: 'mine' } }))
    return { issuer, name }
  }
})()

test('who made the issuer, or mapped the rule, by which a workload asks does not approve it; nor does what it made ask for them', async () => {
  const [mal, eve] = [await people.person('mal', 'security-admin'), await people.person('eve', 'security-admin')]
  const { id } = await workload(bob, 'security-admin')
  const friend = await people.made('/v1/identities', { name: 'friend', kind: 'human' })
  const { issuer, name } = await own(mal, id, eve)
  await underRule('role:bind', [mal, eve, bob, await people.person('ann')], async () => {
    const body = { role: 'operator', kind: 'identity', subject: friend.id, reason: 'by mal alone' }
    const asked = (await program(issuer).post('/v1/role-bindings', body)).body
    const shown = done(await people.server.get(`/v1/approvals/${asked.approval}`))
    expect(shown.factors[0].approvers.map((one: { name: string }) => one.name)).toEqual(['ann'])
    expect((await decide(mal, asked.approval)).status).toBe(404)
    // A token that it makes is of all who could have made it so; and stays so when the rule is gone.
    const made = done(await program(issuer).post('/v1/tokens', { name: 'made by a program', roles: ['security-admin'], reason: 'tests' }))
    const [{ rule }] = done(await people.server.get(`/v1/issuers/${name}/rules`)).items.map((it: { id: string }) => ({ rule: it.id }))
    done(await mal.post(`/v1/issuers/${name}/rules/${rule}/remove`, {}))
    const again = await people.asker(made).post('/v1/role-bindings', { ...body, role: 'auditor' })
    expect((await decide(mal, again.body.approval)).status).toBe(404)
    expect((await decide(eve, again.body.approval)).status).toBe(404)
  })
  await issuer.stop()
})

test('nobody approves policies that a workload proposed for which they made an issuer', async () => {
  const mal = await people.person('pol-mal', 'security-admin')
  const { id } = await workload(await people.person('pol-owner'), 'security-admin')
  const { issuer } = await own(mal, id)
  const text = `permit (principal in Role::"r${newId()}", action == Action::"status:read", resource);`
  const proposed = done(await program(issuer).post('/v1/policies', { files: [{ name: 'f.cedar', text }], reason: 'tests' }))
  const approve = (by: Asker) => by.post(`/v1/policies/${proposed.id}/approve`, { digest: proposed.digest, reason: 'read it' })
  expect((await approve(mal)).status).toBe(403)
  expect((await approve(bob)).status).toBe(200)
  await issuer.stop()
})

test('nobody gives rights to a workload for which they made an issuer or a rule, directly or by a team', async () => {
  const mal = await people.person('up-mal', 'security-admin', 'directory-admin')
  const { id } = await workload(bob)
  const { issuer } = await own(mal, id)
  const bind = (by: Asker) => by.post('/v1/role-bindings', { role: 'credential-admin', kind: 'identity', subject: id, reason: 'tests' })
  expect((await bind(mal)).status).toBe(403)
  const top = await people.team(newId())
  await people.made('/v1/role-bindings', { role: 'auditor', kind: 'team', subject: top, reason: 'tests' })
  expect((await mal.post(`/v1/teams/${top}/members`, { add: { identities: [id] }, reason: 'tests' })).status).toBe(403)
  expect((await program(issuer).get('/v1/systems')).status).toBe(403)
  const other = await people.person('up-other', 'security-admin')
  expect((await bind(other)).status).toBe(201)
  await issuer.stop()
})

test('who made or rotated the token of a directory does not approve the offboarding that it orders, whoever rotates it after the order', async () => {
  const mal = await people.person('scim-mal', 'directory-admin')
  const ctx = makeCtx('worker', newId())
  const { store } = people.server.db
  await underRule('identity:offboard', [mal, bob], async () => {
    for (const rotatedAgain of [false, true]) {
      const name = newId()
      const corp = await Provider.add(people.server, name, { offboardAfterSeconds: 0 })
      const victim = await corp.user(`victim ${newId()}`)
      const { token } = done(await mal.post(`/v1/scim/providers/${name}/rotate-token`, { overlapSeconds: 0 }))
      const body = {
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', path: 'active', value: false }],
      }
      const headers = { 'content-type': 'application/scim+json' }
      done(await people.server.send('PATCH', `/scim/v2/Users/${victim}`, { token, headers, body }))
      if (rotatedAgain) done(await bob.post(`/v1/scim/providers/${name}/rotate-token`, { overlapSeconds: 0 }))
      await offboardDue(store, ctx)
      const all = done(await people.server.get('/v1/approvals?of=all')).items
      const open = all.find((it: { state: string; requestedBy: { name: string } }) => it.requestedBy.name === `SCIM provider ${name}`)
      if (rotatedAgain) {
        // Bob has the new token, mal gave the order by the old one: neither of them says yes to it.
        expect(open).toBeUndefined()
      } else {
        expect((await decide(mal, open.id)).status).toBe(404)
        expect((await decide(bob, open.id)).status).toBe(200)
      }
    }
  })
})

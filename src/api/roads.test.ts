/** Who can speak as somebody else, by an issuer or a directory's token, stands behind it: over HTTP, with real issuers and directories. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { append } from '../evidence/index.ts'
import { fsckRights } from '../identity/index.ts'
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

test('who made the issuer, or mapped the rule, by which a workload asks does not approve it, nor what its tokens ask', async () => {
  const [mal, eve] = [await people.person('mal', 'security-admin'), await people.person('eve', 'security-admin')]
  const { id } = await workload(bob, 'security-admin')
  const friend = await people.made('/v1/identities', { name: 'friend', kind: 'human' })
  const { issuer, name } = await own(mal, id, eve)
  await underRule('role:bind', [mal, eve, bob, await people.person('ann')], async () => {
    const body = { role: 'operator', kind: 'identity', subject: friend.id, reason: 'by mal alone' }
    const asked = (await program(issuer).post('/v1/role-bindings', body)).body
    const shown = done(await people.server.get(`/v1/approvals/${asked.approval}`))
    expect(shown.factors[0].approvers.map((one: { name: string }) => one.name)).toEqual(['ann'])
    expect((await decide(mal, asked.approval)).status).toBe(403)
    // A token that it makes is of all who could have made it so; and stays so when the rule is gone.
    const made = done(await program(issuer).post('/v1/tokens', { name: 'made by a program', roles: ['security-admin'], reason: 'tests' }))
    const [{ rule }] = done(await people.server.get(`/v1/issuers/${name}/rules`)).items.map((it: { id: string }) => ({ rule: it.id }))
    done(await mal.post(`/v1/issuers/${name}/rules/${rule}/remove`, {}))
    const again = await people.asker(made).post('/v1/role-bindings', { ...body, role: 'auditor' })
    expect((await decide(mal, again.body.approval)).status).toBe(403)
    expect((await decide(eve, again.body.approval)).status).toBe(403)
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

test('who made or rotated the token of a directory does not approve what it orders, whoever rotates it after the order', async () => {
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
        expect((await decide(mal, open.id)).status).toBe(403)
        expect((await decide(bob, open.id)).status).toBe(200)
      }
    }
  })
})

const left = async (kind = 'road_of_leaver') => done(await people.server.get(`/v1/findings?kind=${kind}&limit=500`)).items
/** The findings about one maker, as subject and detail. */
const leftBy = async (name: string, kind?: string) =>
  (await left(kind)).flatMap((it: { subject: string; detail: string }) =>
    it.detail.startsWith(`${name},`) ? [[it.subject, it.detail]] : [],
  )
const patch = (token: string, user: string, active: boolean) =>
  people.server.send('PATCH', `/scim/v2/Users/${user}`, {
    token,
    headers: { 'content-type': 'application/scim+json' },
    body: { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'replace', path: 'active', value: active }] },
  })

/** Somebody who made one of everything that lets others in, or tells them. */
async function builder(name: string) {
  const mal = await people.person(name, 'security-admin', 'directory-admin')
  const { id, name: ci } = await workload(bob, 'security-admin')
  const inlined = await own(mal, id)
  const { id: his } = await workload(mal, 'security-admin')
  done(await mal.post(`/v1/issuers/${inlined.name}/rules`, { identity: his, claims: { sub: 'his' } }))
  // An issuer of the firm whose keys are fetched: mal only mapped a rule.
  const firm = await LabIssuer.start()
  done(await bob.post('/v1/issuers', { name: 'firm', type: 'oidc', origin: firm.url, audience: 'rekey', keys: { from: 'discovery' } }))
  done(await mal.post('/v1/issuers/firm/rules', { identity: id, claims: { sub: 'mine' } }))
  const corp = await Provider.add(people.server, 'leaver-corp')
  const user = await corp.user('leaver-eve')
  const { token } = done(await mal.post('/v1/scim/providers/leaver-corp/rotate-token', { overlapSeconds: 0 }))
  const linked = await people.made('/v1/identities', { name: 'linked', kind: 'human' })
  done(await mal.post('/v1/login/links', { identity: linked.id, provider: 'corp', subject: 'sub-x', reason: 'tests' }))
  const webhook = { url: 'https://hooks.example.com/x', link: 'https://rekey.example.com/' }
  const secret = Buffer.from('k'.repeat(32)).toString('base64')
  done(await mal.post('/v1/notify/channels', { name: 'leaver-hook', secret, webhook }))
  const asks = async (issuer: LabIssuer, sub?: string) => (await program(issuer, sub).get('/v1/issuers')).status
  const works = async () => [await asks(inlined.issuer, 'his'), await asks(inlined.issuer), await asks(firm)]
  const stop = () => Promise.all([firm.stop(), inlined.issuer.stop()])
  return { inlined: inlined.name, ci, works, stop, push: (active: boolean) => patch(token, user, active) }
}

const confirm = (by: Asker | People['server'], path: string) => by.post(`${path}/confirm`, { reason: 'looked at it' })

test('what a leaver made that lets others in is planned, found, told, and over when mended; what is theirs stops', async () => {
  const { inlined, ci, works, stop, push } = await builder('leaver')
  expect(await works()).toEqual([200, 200, 200])
  const planned = done(await people.server.get('/v1/identities/leaver/closure-plan')).items
  expect(Object.fromEntries(planned.map((it: { credential: string; way: string }) => [it.credential, it.way]))).toEqual({
    'channel leaver-hook': 'hand_over',
    'directory leaver-corp': 'hand_over',
    [`issuer ${inlined}`]: 'suspend',
    'issuer firm': 'hand_over',
    'login provider corp': 'hand_over',
    '1 session of leaver': 'suspend',
    '1 identity of leaver': 'hand_over',
  })
  expect(await leftBy('leaver')).toEqual([])

  done(await people.server.post('/v1/identities/leaver/offboard', { reason: 'dismissed' }))
  // What others answer for goes on; what is signed by keys that the leaver gave, for what was the leaver's own, does not.
  expect(await works()).toEqual([401, 200, 200])
  expect((await push(false)).status).toBe(200)
  const found = new Map<string, string>(await leftBy('leaver'))
  expect(new Set(found.keys())).toEqual(new Set(['directory leaver-corp', 'issuer firm', `issuer ${inlined}`, 'login provider corp']))
  expect(found.get('issuer firm')).toBe(`leaver, not active any more, made rules that let in ${ci}`)
  expect(found.get(`issuer ${inlined}`)).toMatch(
    /^leaver, not active any more, gave it its keys: for what nobody else answers its tokens are/,
  )
  expect(found.get('directory leaver-corp')).toBe('leaver, not active any more, made its token, and may know it')
  expect(found.get('login provider corp')).toBe('leaver, not active any more, made the links of linked')
  expect((await leftBy('leaver', 'secret_of_leaver')).map(([subject]: [string]) => subject)).toEqual(['channel leaver-hook'])
  const notices = "select about ->> 'subject' as subject from notify_delivery where event = 'roads_left'"
  expect(await people.server.db.store.query(notices)).toContainEqual({ subject: 'leaver' })

  expect((await confirm(people.server, '/v1/issuers/firm')).status, 'nobody on record').toBe(403)
  const ann = await people.person('mender', 'security-admin')
  done(await confirm(ann, '/v1/issuers/firm'))
  for (const path of [`/v1/issuers/${inlined}`, '/v1/login/providers/corp', '/v1/notify/channels/leaver-hook'])
    done(await confirm(bob, path))
  done(await bob.post('/v1/scim/providers/leaver-corp/rotate-token', { overlapSeconds: 0 }))
  expect([await leftBy('leaver'), await leftBy('leaver', 'secret_of_leaver')]).toEqual([[], []])
  expect(await works()).toEqual([200, 200, 200])
  expect((await push(true)).status).toBe(401)
  // Who answers for it leaves too: it is found again.
  done(await people.server.post('/v1/identities/mender/suspend', { reason: 'away' }))
  expect((await leftBy('leaver')).map(([subject]: [string]) => subject)).toEqual(['issuer firm'])
  done(await people.server.post('/v1/identities/mender/resume', { reason: 'back' }))
  expect(await fsckRights(people.server.db.store)).toEqual([])
  await stop()
})

test('a program that is let in by a rule of a leaver makes no tokens by it; a rule that came after a confirmation is found', async () => {
  const mal = await people.person('gone', 'security-admin')
  const { id } = await workload(bob, 'security-admin')
  const firm = await LabIssuer.start()
  done(await bob.post('/v1/issuers', { name: 'firm2', type: 'oidc', origin: firm.url, audience: 'rekey', keys: { from: 'discovery' } }))
  const ann = await people.person('confirms', 'security-admin')
  done(await ann.post('/v1/issuers/firm2/confirm', { reason: 'looked at it' }))
  done(await mal.post('/v1/issuers/firm2/rules', { identity: id, claims: { sub: 'mine' } }))
  const make = () => program(firm).post('/v1/tokens', { name: `t ${newId()}`, roles: ['security-admin'], reason: 'tests' })
  expect((await make()).status).toBe(201)
  done(await people.server.post('/v1/identities/gone/suspend', { reason: 'away' }))
  expect((await program(firm).get('/v1/tokens')).status).toBe(200)
  expect((await make()).status).toBe(403)
  expect((await leftBy('gone')).map(([subject]: [string]) => subject)).toEqual(['issuer firm2'])
  // Not by another identity of the leaver's; by who made the issuer, but not the rule, it is.
  const again = await people.person('gone again', 'security-admin')
  await people.made('/v1/identities/gone/same-person', { other: again.id, same: true, reason: 'one human' })
  expect((await confirm(again, '/v1/issuers/firm2')).status).toBe(403)
  done(await confirm(bob, '/v1/issuers/firm2'))
  expect(await leftBy('gone')).toEqual([])
  await firm.stop()
})

test('evidence of what a program did names the issuer and the rule that let it in; fsck finds a rule that never did', async () => {
  const { id } = await workload(bob, 'directory-admin')
  const { issuer, name } = await own(bob, id)
  const [{ id: rule }] = done(await people.server.get(`/v1/issuers/${name}/rules`)).items
  const trusted = done(await people.server.get('/v1/issuers?limit=500')).items.find((it: { name: string }) => it.name === name)
  const joined = `by a program ${newId()}`
  const { id: made } = done(await program(issuer).post('/v1/identities', { name: joined, kind: 'human' }))
  done(await bob.post(`/v1/issuers/${name}/remove`, { reason: 'over' }))
  const [event] = done(await people.server.get(`/v1/identities/${made}/events`)).items
  expect(event).toMatchObject({ actor: `workload:${id}`, links: { identity: made, proof_issuer: trusted.id, proof_rule: rule } })
  const { store } = people.server.db
  expect(await fsckRights(store)).toEqual([])
  const ctx = makeCtx(`workload:${made}`, 'test', { proof: { proof_issuer: trusted.id, proof_rule: rule } })
  await store.inTx((tx) => append(tx, ctx, [{ log: 'identity', type: 'identity.left', subject: joined, links: { identity: made } }]))
  const found = await fsckRights(store)
  expect(found.map(({ what }) => what)).toEqual([`By the log the claim rule ${rule} never let its actor in.`])
  await issuer.stop()
})

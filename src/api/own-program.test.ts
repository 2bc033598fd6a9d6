/** Whoever asks by a program or a token of theirs is themselves, also once it is theirs no more: over HTTP. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { newId } from '../kernel/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let alice: Asker
let zed: Asker
beforeAll(async () => {
  people = await People.start()
  alice = await people.person('alice', 'directory-admin')
  zed = await people.person('zed')
})
afterAll(() => people.stop())
afterEach(() => expect(people.server.undeclared()).toEqual([]))

const reason = 'it is a test'
/** A program and a token of it that the first token makes. */
const program = async (owner: string, ...roles: readonly string[]) => {
  const fields = { name: `bot ${newId()}`, kind: 'workload', owner, purpose: 'sync', environment: 'prod' }
  const { id, name } = await people.made('/v1/identities', fields)
  return { id, name, ...(roles.length > 0 && { asks: await people.token(people.server, `t ${newId()}`, roles, { identity: id }) }) }
}
const programOf = async (owner: string, ...roles: readonly string[]) => {
  const { asks, ...rest } = await program(owner, ...roles)
  if (asks === undefined) throw new Error('no token')
  return { ...rest, asks }
}
const post = async (by: Pick<Asker, 'post'>, path: string, body: object = {}) => (await by.post(path, { reason, ...body })).status
const approve = async (by: Asker, id: string) => {
  const { digest } = done(await people.server.get(`/v1/approvals/${id}`))
  return post(by, `/v1/approvals/${id}/approve`, { digest })
}
const underRule = async (crew: readonly Pick<Asker, 'id'>[], use: () => Promise<void>) => {
  const team = await people.team(newId(), ...crew)
  await people.made('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team, count: 1 }], reason })
  await use()
  done(await people.server.post('/v1/approval-rules/identity:offboard/remove', { reason }))
}
const roads = async () =>
  done(await people.server.get('/v1/findings?limit=200')).items.flatMap((it: { kind: string; subject: string }) =>
    it.kind === 'road_of_leaver' ? [it.subject] : [],
  )

test('nobody says by a program of theirs, or of their team, that they are another person, or links a login to themselves', async () => {
  const mal = await people.person('h1', 'security-admin')
  const second = await people.person('h1-adm')
  const path = `/v1/identities/${mal.id}/same-person`
  expect(await post(people.server, path, { other: second.id, same: true })).toBe(200)
  const crew = await people.team(newId(), mal, zed)
  for (const owner of [`person:${mal.id}`, `person:${second.id}`, `team:${crew}`]) {
    const { asks } = await programOf(owner, 'directory-admin')
    expect(await post(asks, path, { other: second.id, same: false })).toBe(403)
  }
  const link = { identity: mal.id, provider: 'corp', subject: 'another' }
  const token = await people.token(mal, `t ${newId()}`, ['security-admin'])
  for (const by of [mal, token, (await programOf(`person:${mal.id}`, 'security-admin')).asks]) {
    expect(await post(by, '/v1/login/links', link)).toBe(403)
  }
  expect(await post(people.server, '/v1/login/links', link)).toBe(200)
})

test('who is suspended is not resumed by a program or a token of theirs, nor by one of a team that is left empty', async () => {
  const mal = await people.person('h3-resume', 'directory-admin', 'security-admin')
  const token = await people.token(mal, `t ${newId()}`, ['directory-admin'])
  const crew = await people.team(newId(), mal)
  const bots = [await programOf(`person:${mal.id}`, 'directory-admin'), await programOf(`team:${crew}`, 'directory-admin')]
  expect(await post(alice, `/v1/identities/${mal.id}/suspend`)).toBe(200)
  for (const { asks } of bots) expect(await post(asks, `/v1/identities/${mal.id}/resume`)).toBe(403)
  expect(await post(token, `/v1/identities/${mal.id}/resume`)).toBe(401)
  expect(await post(alice, `/v1/identities/${mal.id}/resume`)).toBe(200)
})

test('who gave a program away, or left the team of one that had it, does not approve what it asks, nor gives it rights', async () => {
  const mal = await people.person('h2', 'directory-admin', 'security-admin')
  const { store } = people.server.db
  const victim = await people.made('/v1/identities', { name: 'h2-victim', kind: 'human' })
  const crew = await people.team(newId(), mal)
  const bots = [await programOf(`person:${mal.id}`, 'directory-admin'), await programOf(`team:${crew}`, 'directory-admin')]
  expect(await post(mal, `/v1/identities/${bots[0]?.id}/move`, { owner: `person:${zed.id}` })).toBe(200)
  expect(await post(mal, `/v1/teams/${crew}/members`, { add: { identities: [zed.id] }, remove: { identities: [mal.id] } })).toBe(200)
  const approves = async (asks: Asker) => {
    const asked = await asks.post(`/v1/identities/${victim.id}/offboard`, { reason: `it left ${newId()}` })
    return approve(mal, asked.body.approval)
  }
  await underRule([mal, alice], async () => {
    for (const { id, asks } of bots) {
      expect(await approves(asks)).toBe(403)
      const role = { role: 'credential-admin', kind: 'identity', subject: id, force: true }
      expect(await post(mal, '/v1/role-bindings', role)).toBe(403)
      // A month goes by; she may know its token still. When somebody else has made that anew, she does not.
      await store.query("update former_owner set until = until - interval '31 days' where identity_id = $1", [id])
      await store.query("update api_token set created_at = created_at - interval '31 days' where id = $1", [asks.id])
      expect(await approves(asks)).toBe(403)
      const fresh = done(await people.server.post(`/v1/tokens/${asks.id}/rotate`, { overlapSeconds: 0 }))
      expect(await approves(people.asker(fresh))).toBe(200)
    }
  })
})

test('a fleet file that names another owner, or calls the program a person, ends it no sooner', async () => {
  const mal = await people.person('h2-fleet', 'credential-admin', 'directory-admin')
  const victim = await people.made('/v1/identities', { name: 'h2-fleet-victim', kind: 'human' })
  const apply = async (by: Pick<Asker, 'post'>, name: string, kind: string, owner: string) => {
    const identity = `{ name: ${name}, kind: ${kind}, owner: ${owner}, purpose: sync, environment: prod }`
    const text = `version: 1\nsystems: []\nidentities:\n  - ${identity}\ncredentials: []\n`
    const { digest } = done(await by.post('/v1/fleet/diff', { text, folder: people.server.folder }))
    const input = { text, folder: people.server.folder, digest, prune: false, secrets: {}, authorities: {} }
    done(await by.post('/v1/fleet/apply', input))
  }
  await underRule([mal, alice], async () => {
    for (const [kind, owner] of [
      ['workload', 'zed'],
      ['human', 'h2-fleet'],
    ] as const) {
      const name = `fleet-bot-${kind}`
      await apply(people.server, name, 'workload', 'h2-fleet')
      const { id } = done(await people.server.get(`/v1/identities/${name}`))
      const asks = await people.token(people.server, `t ${name}`, ['directory-admin'], { identity: id })
      await apply(mal, name, kind, owner)
      const asked = await asks.post(`/v1/identities/${victim.id}/offboard`, { reason: `it left, says ${name}` })
      expect(await approve(mal, asked.body.approval)).toBe(403)
    }
  })
})

test('who stood behind a proposal of policies does not approve it once the program is somebody else’s', async () => {
  const mal = await people.person('h2-policies', 'directory-admin', 'security-admin')
  const bot = await programOf(`person:${mal.id}`, 'security-admin')
  const text = `permit (principal in Role::"r${newId()}", action == Action::"status:read", resource);`
  const proposed = done(await bot.asks.post('/v1/policies', { files: [{ name: 'f.cedar', text }], reason }))
  expect(await post(mal, `/v1/identities/${bot.name}/move`, { owner: `person:${zed.id}` })).toBe(200)
  const body = { digest: proposed.digest }
  expect(await post(mal, `/v1/policies/${proposed.id}/approve`, body)).toBe(403)
})

test('what a leaver’s program made while it was theirs stops and is found, and their program confirms nothing', async () => {
  const mal = await people.person('h3-mal', 'security-admin')
  const bot = await programOf(`person:${mal.id}`, 'security-admin')
  const made = [
    { by: mal, name: newId(), sub: 'hers' },
    { by: bot.asks, name: newId(), sub: 'its' },
  ]
  const issuers = await Promise.all(made.map(() => LabIssuer.start()))
  const issuerAt = (at: number) => issuers[at] ?? expect.fail()
  const asks = async (at: number, sub: string) => {
    const [issuer, now] = [issuerAt(at), Math.floor(Date.now() / 1000)]
    const token = await issuer.sign({ iss: issuer.url, aud: 'rekey', sub, iat: now, exp: now + 300, jti: newId() })
    return (await people.server.send('GET', '/v1/credentials', { token })).status
  }
  for (const [at, { by, name, sub }] of made.entries()) {
    const ci = await program(`person:${mal.id}`)
    const keys = { from: 'inline', jwks: issuerAt(at).jwks() }
    done(await by.post('/v1/issuers', { name, type: 'oidc', origin: issuerAt(at).url, audience: 'rekey', keys }))
    done(await people.server.post('/v1/role-bindings', { role: 'credential-admin', kind: 'identity', subject: ci.id, reason }))
    done(await by.post(`/v1/issuers/${name}/rules`, { identity: ci.id, claims: { sub } }))
    // Said before she leaves, it is worth nothing either.
    expect(await post(bot.asks, `/v1/issuers/${name}/confirm`)).toBe(200)
    expect(await asks(at, sub)).toBe(200)
  }
  const plan = done(await alice.get(`/v1/identities/${mal.id}/closure-plan`)).items.map((it: object) => JSON.stringify(it))
  for (const { name } of made) expect(plan.some((it: string) => it.includes(`issuer ${name}`))).toBe(true)
  for (const end of ['suspend', 'offboard']) {
    expect(await post(alice, `/v1/identities/${mal.id}/${end}`)).toBe(200)
    for (const [at, { name, sub }] of made.entries()) {
      expect([end, await post(bot.asks, `/v1/issuers/${name}/confirm`), await asks(at, sub)]).toEqual([end, 403, 401])
      expect(await roads()).toContain(`issuer ${name}`)
    }
  }
  await Promise.all(issuers.map((it) => it.stop()))
})

/** Under a rule, nobody opens a way for somebody to be somebody else alone: login providers, links, issuers and their rules. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { type OidcLab, startOidc } from '../../test/lab/oidc.ts'
import { newId } from '../kernel/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let oidc: OidcLab
let idp: LabIssuer
/** Who may configure, and who may approve. */
let mal: Asker
let bob: Asker
beforeAll(async () => {
  people = await People.start()
  oidc = await startOidc({ redirectUris: [`${people.server.url}/login/callback/firm`] })
  idp = await LabIssuer.start()
  mal = await people.person('mal', 'security-admin')
  bob = await people.person('bob')
}, 60_000)
afterAll(async () => {
  await idp.stop()
  await oidc.stop()
  await people.stop()
})
afterEach(() => expect(people.server.undeclared()).toEqual([]))

const approve = async (by: Asker, id: string) => {
  const { digest, words, what } = done(await people.server.get(`/v1/approvals/${id}`))
  return { answer: await by.post(`/v1/approvals/${id}/approve`, { reason: 'read it', digest }), words: String(words), what }
}

async function underRule(action: string, use: () => Promise<void>): Promise<void> {
  const team = await people.team(newId(), mal, bob)
  await people.made('/v1/approval-rules', { action, factors: [{ team, count: 1 }], reason: 'two pairs of eyes' })
  try {
    await use()
  } finally {
    done(await people.server.post(`/v1/approval-rules/${action}/remove`, { reason: 'end' }))
  }
}

/** Asked for, refused to who asks, approved by another, and done once; `other` is another question. Resolves with words and data. */
async function fourEyes(path: string, body: object, other: object) {
  const asked = async (of: object): Promise<string> => {
    const answer = await mal.post(path, of)
    expect([answer.status, answer.body.code], answer.text).toEqual([409, 'approval_required'])
    return answer.body.approval
  }
  const id = await asked(body)
  expect(await asked(body)).toBe(id)
  expect((await approve(mal, id)).answer.status).toBe(403)
  const { answer, ...shown } = await approve(bob, id)
  expect(answer.status, answer.text).toBe(200)
  expect(await asked(other)).not.toBe(id)
  const made = await mal.post(path, body)
  expect(made.status, made.text).toBeLessThan(300)
  return shown
}

test('a login provider and a link', async () => {
  const { issuer, clientId } = oidc
  const secret = Buffer.from(oidc.clientSecret).toString('base64')
  const provider = { name: 'firm', issuer, clientId, auth: 'client_secret_basic', secret, amr: { hwk: 2 }, linkByEmail: true }
  await underRule('login:configure', async () => {
    const trusted = await fourEyes('/v1/login/providers', provider, { ...provider, aal: 2 })
    expect(trusted.words).toContain(`at the provider firm (${issuer}`)
    expect(trusted.words).toContain('a login that says "hwk" is worth AAL2')
    expect(trusted.words).toContain('whoever has the address')
    expect(JSON.stringify(trusted)).not.toContain(oidc.clientSecret)
    const ada: { id: string } = await people.made('/v1/identities', { name: 'ada', kind: 'human' })
    const link = { identity: 'ada', provider: 'firm', subject: 'sub-of-mal', reason: 'she works here' }
    const linked = await fourEyes('/v1/login/links', link, { ...link, subject: 'another' })
    expect(linked.what).toEqual({
      identity: ada.id,
      name: 'ada',
      provider: 'firm',
      issuer,
      subject: 'sub-of-mal',
      reason: 'she works here',
    })
    expect(linked.words).toContain('Let the subject "sub-of-mal" of the login provider firm')
    const { externalIds } = done(await people.server.get('/v1/identities/ada'))
    expect(externalIds).toEqual([{ source: 'oidc:firm', id: `${issuer}|sub-of-mal` }])
  })
})

test('an issuer and a rule of it', async () => {
  // Neither who asks nor who approves: it is about whoever answers for the program.
  const { id: olga } = await people.made('/v1/identities', { name: 'olga', kind: 'human' })
  const owner = `person:${olga}`
  const workload: { id: string } = await people.made('/v1/identities', {
    name: 'orders',
    kind: 'workload',
    owner,
    purpose: 'ci',
    environment: 'test',
  })
  const issuer = {
    name: 'ci',
    type: 'oidc',
    origin: idp.url,
    audience: 'rekey',
    keys: { from: 'inline', jwks: idp.jwks() },
  }
  await underRule('issuer:configure', async () => {
    const trusted = await fourEyes('/v1/issuers', issuer, { ...issuer, audience: 'other' })
    expect(trusted.words).toContain(`Trust tokens of the issuer "ci" (${idp.url}, oidc) for the audience "rekey".`)
    expect(trusted.what).toMatchObject({ keys: { from: 'inline', jwks: idp.jwks() } })
    const rule = { identity: 'orders', claims: { sub: 'repo:acme' } }
    const mapped = await fourEyes('/v1/issuers/ci/rules', rule, { ...rule, claims: { sub: 'repo:evil' } })
    expect(mapped.words).toContain(`speak as the workload "orders" (${workload.id})`)
    expect(mapped.words).toContain('- sub is "repo:acme"')
  })
})

/** Whom a request is about neither approves nor rejects it, and hears why. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { LabIssuer } from '../../test/lab/issuer.ts'
import { newId } from '../kernel/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let idp: LabIssuer
let bob: Asker
let eve: Asker
let approvers = ''
/** The one it is about: in the team that decides. */
let pat: Asker
beforeAll(async () => {
  people = await People.start()
  idp = await LabIssuer.start()
  bob = await people.person('bob')
  eve = await people.person('eve')
}, 60_000)
afterAll(async () => {
  await idp.stop()
  await people.stop()
})
beforeEach(async () => {
  pat = await people.person(`pat-${newId()}`)
  approvers = await people.team(newId(), pat, bob, eve)
})
afterEach(() => expect(people.server.undeclared()).toEqual([]))

async function underRule(action: string, use: () => Promise<void>, count = 1): Promise<void> {
  await people.made('/v1/approval-rules', { action, factors: [{ team: approvers, count }], reason: 'two pairs of eyes' })
  try {
    await use()
  } finally {
    done(await people.server.post(`/v1/approval-rules/${action}/remove`, { reason: 'end' }))
  }
}

const ask = async (path: string, body: object): Promise<string> => {
  const answer = await people.server.post(path, body)
  expect([answer.status, answer.body.code], answer.text).toEqual([409, 'approval_required'])
  return answer.body.approval
}
const decide = async (by: Asker, verb: 'approve' | 'reject', id: string) => {
  const { digest } = done(await people.server.get(`/v1/approvals/${id}`))
  return by.post(`/v1/approvals/${id}/${verb}`, { reason: 'seen it', digest })
}
const namedIn = async (id: string): Promise<string[]> => {
  const { factors } = done(await people.server.get(`/v1/approvals/${id}`))
  return factors.flatMap((one: { approvers: { id: string }[] }) => one.approvers.map((each) => each.id)).sort()
}

/** Asked for; `out` decide nothing and hear why; somebody else approves, and it is done. */
async function decidedByOthers(path: string, body: object, out: readonly Asker[] = [pat]): Promise<void> {
  const id = await ask(path, body)
  expect(await namedIn(id)).toEqual([bob.id, eve.id].filter((one) => !out.some((each) => each.id === one)).sort())
  for (const by of out) {
    for (const verb of ['approve', 'reject'] as const) {
      const answer = await decide(by, verb, id)
      expect([answer.status, answer.body.detail], answer.text).toEqual([403, 'Whom a request is about does not decide it.'])
    }
  }
  expect((await people.server.post(path, body)).body).toMatchObject({ code: 'approval_required', approval: id })
  done(await decide(eve, 'approve', id))
  done(await people.server.post(path, body))
}

test('who is to be offboarded: neither they nor another identity of the same human', async () => {
  const twin = await people.person(`twin-${newId()}`)
  await people.made(`/v1/teams/${approvers}/members`, { add: { identities: [twin.id] } })
  const pair = { other: twin.id, same: true, reason: 'the same badge' }
  done(await people.server.post(`/v1/identities/${pat.id}/same-person`, pair))
  const path = `/v1/identities/${pat.id}/offboard`
  const body = { reason: 'left' }
  await underRule('identity:offboard', () => decidedByOthers(path, body, [pat, twin]))
})

test('who is to be offboarded, once counted as another: what was approved by them counts no more', async () => {
  await underRule('identity:offboard', async () => {
    const path = `/v1/identities/${pat.id}/offboard`
    const id = await ask(path, { reason: 'left' })
    done(await decide(bob, 'approve', id))
    const pair = { other: bob.id, same: true, reason: 'the same badge' }
    done(await people.server.post(`/v1/identities/${pat.id}/same-person`, pair))
    expect(await ask(path, { reason: 'left' })).toBe(id)
    done(await people.server.post(`/v1/identities/${pat.id}/same-person`, { ...pair, same: false }))
    done(await people.server.post(path, { reason: 'left' }))
  })
})

test('a role for a person, for a token of theirs, for a program of theirs', async () => {
  const role = { role: 'auditor', reason: 'needs it' }
  const token = await people.token(people.server, `of-${newId()}`, ['approver'], { identity: pat.id })
  const program = { kind: 'workload', owner: `person:${pat.id}`, purpose: 'ci', environment: 'test' }
  const { id: robot } = await people.made('/v1/identities', { name: `robot-${newId()}`, ...program })
  await underRule('role:bind', async () => {
    await decidedByOthers('/v1/role-bindings', { ...role, kind: 'identity', subject: pat.id })
    await decidedByOthers('/v1/role-bindings', { ...role, kind: 'identity', subject: robot })
    await decidedByOthers('/v1/role-bindings', { ...role, kind: 'token', subject: token.id })
  })
})

test('a role for a team, and people who are put into one that has it', async () => {
  const role = { role: 'auditor', kind: 'team', reason: 'needs it' }
  const team = await people.team(newId(), pat)
  const around = await people.team(newId(), eve)
  await underRule('role:bind', async () => {
    await decidedByOthers('/v1/role-bindings', { ...role, subject: team })
    const add = (members: object) => ({ add: members, reason: 'joins' })
    done(await people.server.post(`/v1/teams/${team}/members`, { remove: { identities: [pat.id] }, reason: 'leaves' }))
    await decidedByOthers(`/v1/teams/${team}/members`, add({ identities: [pat.id] }))
    // Whoever comes with a team that is nested into it comes to the role as well; who is in it already does not.
    const id = await ask(`/v1/teams/${team}/members`, add({ teams: [around] }))
    expect(await namedIn(id)).toEqual([pat.id, bob.id].sort())
    expect((await decide(eve, 'reject', id)).status).toBe(403)
    done(await decide(pat, 'approve', id))
    done(await people.server.post(`/v1/teams/${team}/members`, add({ teams: [around] })))
  })
})

test('a role for the very team that approves roles is asked of nobody, and the answer says what to do', async () => {
  await underRule('role:bind', async () => {
    const body = { role: 'auditor', kind: 'team', subject: approvers, reason: 'needs it' }
    const answer = await people.server.post('/v1/role-bindings', body)
    expect([answer.status, answer.body.code], answer.text).toEqual([400, 'bad_input'])
    expect(answer.body.hint).toContain('give it to each of its people')
    await decidedByOthers('/v1/role-bindings', { ...body, kind: 'identity', subject: pat.id })
  })
})

test('a login that is linked to a person', async () => {
  await underRule('login:configure', () =>
    decidedByOthers('/v1/login/links', { identity: pat.id, provider: 'corp', subject: newId(), reason: 'a new account' }),
  )
})

test('a rule by which a program of theirs is let in, or one that acts for them', async () => {
  const program = { kind: 'agent', owner: `person:${pat.id}`, purpose: 'ci', environment: 'test' }
  const { id: robot } = await people.made('/v1/identities', { name: `robot-${newId()}`, ...program })
  const keys = { from: 'inline', jwks: idp.jwks() }
  await people.made('/v1/issuers', { name: 'ci', type: 'oidc', origin: idp.url, audience: 'rekey', keys })
  const limits = { scope: ['identity:read'], environments: ['test'] }
  await underRule('issuer:configure', async () => {
    await decidedByOthers('/v1/issuers/ci/rules', { identity: robot, claims: { sub: 'his' }, ...limits })
    const another = { ...program, owner: `person:${bob.id}` }
    const { id: other } = await people.made('/v1/identities', { name: `robot-${newId()}`, ...another })
    await decidedByOthers('/v1/issuers/ci/rules', { identity: other, actsFor: pat.id, claims: { sub: 'for him' }, ...limits }, [pat, bob])
  })
})

test('nor does whom it is about let it through without the approvals', async () => {
  const chief = await people.person(`chief-${newId()}`, 'bootstrap-admin')
  await underRule('role:bind', async () => {
    const id = await ask('/v1/role-bindings', { role: 'auditor', kind: 'identity', subject: chief.id, reason: 'needs it' })
    const { digest } = done(await people.server.get(`/v1/approvals/${id}`))
    const answer = await chief.post(`/v1/approvals/${id}/bypass`, { reason: 'nobody is here at night', digest })
    expect([answer.status, answer.body.detail], answer.text).toEqual([403, 'Whom a request is about does not decide it.'])
  })
})

test('a request of before it was kept whom it is about is asked for anew', async () => {
  await underRule('identity:offboard', async () => {
    const path = `/v1/identities/${pat.id}/offboard`
    const id = await ask(path, { reason: 'left' })
    await people.server.db.store.query(`update approval set about = '{}' where id = $1`, [id])
    const again = await ask(path, { reason: 'left' })
    expect(again).not.toBe(id)
    expect(await namedIn(again)).not.toContain(pat.id)
  })
})

/** Enrolment codes: one is no better than who made it is now, and never leads to somebody who is there already. */
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NO_CHROMIUM, startChromium, Tab } from '../../test/lab/chromium.ts'
import { suspendIdentity } from '../identity/index.ts'
import { makeCtx } from '../kernel/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
beforeAll(async () => {
  people = await People.start()
}, 60_000)
afterAll(() => people.stop())
afterEach(async () => {
  await people.server.db.store.query('delete from login_counter')
  expect(people.server.undeclared()).toEqual([])
})

const bootstrap = (by: Pick<Asker, 'post'>, name: string) => by.post('/v1/login/bootstrap', { name })
/** Whether the code is good: 200 or 401. */
const tried = async (code: string) => (await new Visitor(people.server).post('/v1/login/enrol/begin', { code, name: 'key' })).status
const findings = async (kind: string) => done(await people.server.get(`/v1/findings?kind=${kind}`)).items

/** Makes an administrator, and one that they make; both codes are good. */
async function makes(name: string) {
  const maker = await people.person(name, 'bootstrap-admin')
  const { code, identity } = done(await bootstrap(maker, `${name}-made`))
  expect(await tried(code)).toBe(200)
  return { maker, code, identity }
}

describe('a code dies with what made it', () => {
  test('an offboarded person comes back by no code that they kept, and what they made is a finding', async () => {
    const { maker, code, identity } = await makes('gone-mal')
    expect(await findings('made_by_leaver')).toEqual([])
    done(await people.server.post(`/v1/identities/${maker.id}/offboard`, { reason: 'fired for cause' }))
    expect(await tried(code)).toBe(401)
    const [found] = await findings('made_by_leaver')
    expect(found).toMatchObject({ subject: 'gone-mal-made', identity: 'gone-mal-made', severity: 'high' })
    expect(found.detail).toContain('gone-mal')
    done(await people.server.post(`/v1/identities/${identity}/offboard`, { reason: 'made by a leaver' }))
    expect(await findings('made_by_leaver')).toEqual([])
  })

  test('a suspension kills it, and a resumption does not bring it back', async () => {
    const { maker, code } = await makes('away-mal')
    done(await people.server.post(`/v1/identities/${maker.id}/suspend`, { reason: 'a laptop is gone' }))
    expect(await tried(code)).toBe(401)
    done(await people.server.post(`/v1/identities/${maker.id}/resume`, { reason: 'it was found' }))
    expect(await tried(code)).toBe(401)
  })

  test('a suspension of whom it is for kills it too', async () => {
    const { code, identity } = await makes('held-mal')
    done(await people.server.post(`/v1/identities/${identity}/suspend`, { reason: 'not yet' }))
    done(await people.server.post(`/v1/identities/${identity}/resume`, { reason: 'now then' }))
    expect(await tried(code)).toBe(401)
  })

  test('who may make administrators no more has made none by a code that is still open', async () => {
    const { maker, code } = await makes('less-mal')
    const bound = done(await people.server.get('/v1/role-bindings?limit=500')).items
    const { id } = bound.find((one: { subject: string }) => one.subject === maker.id)
    done(await people.server.post(`/v1/role-bindings/${id}/unbind`, { reason: 'another task' }))
    expect(await tried(code)).toBe(401)
  })

  test('the end of the session or of the token that made it is its end', async () => {
    const { maker, code } = await makes('out-mal')
    done(await maker.post('/v1/session/end'))
    expect(await tried(code)).toBe(401)
    const token = await people.token(people.server, 'for-codes', ['bootstrap-admin'], { force: true, reason: 'tests of codes' })
    const made = done(await bootstrap(token, 'out-by-token'))
    expect(await tried(made.code)).toBe(200)
    done(await people.server.post(`/v1/tokens/${token.id}/revoke`, { reason: 'no use any more' }))
    expect(await tried(made.code)).toBe(401)
  })

  test('the makers of a token that made it are its makers', async () => {
    const mal = await people.person('far-mal', 'bootstrap-admin')
    const token = await people.token(mal, 'far-token', ['bootstrap-admin'], { force: true, reason: 'tests of codes' })
    const { code } = done(await bootstrap(token, 'far-made'))
    expect(await tried(code)).toBe(200)
    done(await people.server.post(`/v1/identities/${mal.id}/suspend`, { reason: 'looking into it' }))
    expect(await tried(code)).toBe(401)
    done(await people.server.post(`/v1/identities/${mal.id}/resume`, { reason: 'it was nothing' }))
    expect(await tried(code)).toBe(401)
  })
})

describe.skipIf(NO_CHROMIUM !== null)('in a browser', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await startChromium()
  }, 60_000)
  afterAll(() => browser.close())

  const open = () => Tab.open(browser, `${people.server.url.replace('127.0.0.1', 'localhost')}/healthz`, {})

  test('who made the code is looked at again when the enrolment is finished', async () => {
    const { maker, code } = await makes('mid-mal')
    const tab = await open()
    const begun = await tab.post('/v1/login/enrol/begin', { code, name: 'key' })
    const response = await tab.create(begun.body.publicKey)
    done(await people.server.post(`/v1/identities/${maker.id}/offboard`, { reason: 'fired for cause' }))
    expect((await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })).status).toBe(401)
    expect(
      await people.server.db.store.query("select 1 from passkey p join identity i on i.id = p.identity_id where i.name = 'mid-mal-made'"),
    ).toEqual([])
    await tab.close()
  })

  test('a maker who goes at that very moment goes first', async () => {
    const { maker, code } = await makes('now-mal')
    const tab = await open()
    const begun = await tab.post('/v1/login/enrol/begin', { code, name: 'key' })
    const response = await tab.create(begun.body.publicKey)
    const { store } = people.server.db
    const { finishing } = await store.inTx(async (tx) => {
      await suspendIdentity(tx, makeCtx('test', 'test'), maker.id, 'at this moment')
      const finishing = tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })
      await expect
        .poll(async () => store.query("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"), {
          timeout: 20_000,
        })
        .not.toEqual([])
      return { finishing }
    })
    expect((await finishing).status).toBe(401)
    expect(await tried(code)).toBe(401)
    await tab.close()
  })

  test('whom a leaver made a short while ago is a finding, enrolled or not', async () => {
    const { maker, code } = await makes('late-mal')
    const tab = await open()
    const begun = await tab.post('/v1/login/enrol/begin', { code, name: 'key' })
    const response = await tab.create(begun.body.publicKey)
    expect((await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })).status).toBe(201)
    done(await people.server.post(`/v1/identities/${maker.id}/offboard`, { reason: 'fired for cause' }))
    const of = async () => (await findings('made_by_leaver')).map(({ subject }: { subject: string }) => subject)
    expect(await of()).toContain('late-mal-made')
    // Who has come in, and was made long ago, is nobody's doing of the last days.
    await people.server.db.store.query("update bootstrap_person set made_at = made_at - interval '31 days'")
    expect(await of()).not.toContain('late-mal-made')
    await tab.close()
  })
})

describe('a code never leads to somebody who is there', () => {
  const conflict = async (by: Pick<Asker, 'post'>, name: string) => {
    const answer = await bootstrap(by, name)
    expect(answer.status, answer.text).toBe(409)
    expect(answer.body.code).toBe('conflict')
    return answer.body.hint as string
  }

  test('who was linked to a provider, and logged in there, gets no second self', async () => {
    const mal = await people.person('there-mal', 'bootstrap-admin')
    const made = done(await bootstrap(people.server, 'there-ada'))
    await people.made('/v1/login/links', { identity: made.identity, provider: 'corp', subject: 'sub-there-ada', reason: 'by the provider' })
    expect(await conflict(mal, 'there-ada')).toContain('another name')
    expect(await tried(made.code), 'the code from before').toBe(401)
    const ada = new Visitor(people.server)
    await people.login(ada, 'there-ada')
    done(await ada.post('/v1/session/end'))
    // Nor once there is no session, link or passkey any more.
    for (const table of ['session', 'identity_external', 'passkey'])
      await people.server.db.store.query(`delete from ${table} where identity_id = $1`, [made.identity])
    await conflict(mal, 'there-ada')
    await conflict(people.server, 'there-ada')
  })

  test('whoever was made otherwise gets none, whatever their record says', async () => {
    await people.made('/v1/identities', { name: 'plain-ada', kind: 'human' })
    await conflict(people.server, 'plain-ada')
    await people.server.db.store.query("update identity set source = 'bootstrap' where name = 'plain-ada'")
    await conflict(people.server, 'plain-ada')
  })

  test('who is in a team already gets another code from who made the first, and from nobody else', async () => {
    const mal = await people.person('team-mal', 'bootstrap-admin')
    const { identity, code } = done(await bootstrap(people.server, 'team-ada'))
    const crew = await people.team('team-crew', { id: identity })
    expect(await conflict(mal, 'team-ada')).toContain('team')
    expect(await tried(code)).toBe(200)
    done(await bootstrap(people.server, 'team-ada'))
    done(await people.server.post(`/v1/teams/${crew}/members`, { remove: { identities: [identity] } }))
    expect(await tried(done(await bootstrap(mal, 'team-ada')).code)).toBe(200)
    expect(await tried(code), 'the code before it').toBe(401)
  })

  test('a suspended one waits for nobody', async () => {
    const { identity } = done(await bootstrap(people.server, 'still-ada'))
    done(await people.server.post(`/v1/identities/${identity}/suspend`, { reason: 'not yet' }))
    await conflict(people.server, 'still-ada')
  })
})

describe('where a rule asks for approval of role:bind', () => {
  const approve = async (by: Asker, id: string) => {
    const { digest } = done(await by.get(`/v1/approvals/${id}`))
    return by.post(`/v1/approvals/${id}/approve`, { reason: 'read it', digest })
  }
  const asked = async (by: Pick<Asker, 'post'>, name: string): Promise<string> => {
    const answer = await bootstrap(by, name)
    expect(answer.status, answer.text).toBe(409)
    expect(answer.body.code).toBe('approval_required')
    return answer.body.approval
  }

  test('an administrator is made with it alone, by who asked, of this name, each time', async () => {
    const root = await people.person('rule-root', 'bootstrap-admin')
    const other = await people.person('rule-other', 'bootstrap-admin')
    const bob = await people.person('rule-bob')
    const crew = await people.team('rule-crew', bob, root)
    await people.made('/v1/approval-rules', { action: 'role:bind', factors: [{ team: crew, count: 1 }], reason: 'two pairs of eyes' })
    try {
      const id = await asked(root, 'rule-new')
      expect((await people.server.get('/v1/identities/rule-new')).status).toBe(404)
      expect(await asked(root, 'rule-new')).toBe(id)
      const shown = done(await bob.get(`/v1/approvals/${id}`))
      expect(shown).toMatchObject({ action: 'role:bind', what: { role: 'bootstrap-admin', name: 'rule-new', code: { to: root.id } } })
      expect(shown.words).toContain('rule-new')
      expect((await approve(root, id)).status).toBe(403)
      expect((await approve(bob, id)).status).toBe(200)
      // Of another name, and for another who would hold the code, it is another question.
      expect(await asked(root, 'rule-newer')).not.toBe(id)
      expect(await asked(other, 'rule-new')).not.toBe(id)
      const { code } = done(await bootstrap(root, 'rule-new'))
      expect(await tried(code)).toBe(200)
      // A second code is a second way in.
      expect(await asked(root, 'rule-new')).not.toBe(id)
      expect(await tried(code)).toBe(200)
      const taken = await bootstrap(root, 'rule-bob')
      expect(taken.body.code).toBe('conflict')
    } finally {
      done(await people.server.post('/v1/approval-rules/role:bind/remove', { reason: 'end' }))
    }
  })
})

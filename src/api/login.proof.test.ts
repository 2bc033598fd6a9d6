/** What a person confirmed with a passkey counts in the session in which they did, and as long as that lives. */
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NO_CHROMIUM, startChromium, Tab } from '../../test/lab/chromium.ts'
import { TestServer } from './testing.ts'

describe.skipIf(NO_CHROMIUM !== null)('a proof of a step-up', () => {
  let server: TestServer
  let browser: Browser
  let page = ''
  let crew = ''
  let asked = 0
  const tabs: Tab[] = []

  beforeAll(async () => {
    server = await TestServer.start()
    browser = await startChromium()
    page = `${server.url.replace('127.0.0.1', 'localhost')}/healthz`
    crew = (await server.post('/v1/teams', { name: 'crew' })).body.id
  }, 60_000)
  afterAll(async () => {
    await browser.close()
    await server.stop()
  })
  afterEach(async () => {
    for (const tab of tabs.splice(0)) await tab.close()
    expect(server.undeclared()).toEqual([])
  })

  /** A new approver with a passkey, logged in. */
  async function approver(name: string): Promise<Tab> {
    const tab = await Tab.open(browser, page, {})
    tabs.push(tab)
    const { code, identity } = (await server.post('/v1/login/bootstrap', { name })).body
    const begun = await tab.post('/v1/login/enrol/begin', { code, name: 'key' })
    const response = await tab.create(begun.body.publicKey)
    expect((await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })).status).toBe(201)
    expect((await server.post(`/v1/teams/${crew}/members`, { add: { identities: [identity] } })).status).toBe(200)
    return tab
  }

  /** A request that one passkey must sign. */
  async function request() {
    const factors = [{ team: crew, count: 1, aal: 2, passkey: true }]
    const set = await server.post('/v1/approval-rules', { action: 'identity:offboard', factors, reason: 'two pairs of eyes' })
    expect(set.status, set.text).toBe(200)
    const name = `joan-${asked++}`
    await server.post('/v1/identities', { name, kind: 'human' })
    const { approval } = (await server.post(`/v1/identities/${name}/offboard`, { reason: 'gone' })).body
    return { id: approval as string, digest: (await server.get(`/v1/approvals/${approval}`)).body.digest as string }
  }

  type Asked = Awaited<ReturnType<typeof request>>

  async function prove(tab: Tab, { id, digest }: Asked): Promise<string> {
    const act = { action: 'approval:decide', subject: `approve:${id}`, digest }
    const begun = await tab.post('/v1/step-up/begin', { act })
    const response = await tab.assert(begun.body.publicKey)
    const done = await tab.post('/v1/step-up/finish', { challenge: begun.body.challenge, response })
    expect(done.status, JSON.stringify(done.body)).toBe(200)
    return done.body.proof
  }

  const path = ({ id }: Asked) => `/v1/approvals/${id}/approve`
  const body = ({ digest }: Asked, proof: string) => ({ digest, proof, reason: 'read it' })
  const byHand = (token: string, one: Asked, proof: string) => server.send('POST', path(one), { token, body: body(one, proof) })

  test('is good where it was made, also after another step-up there', async () => {
    const ada = await approver('here-ada')
    const [one, other] = [await request(), await request()]
    const first = await prove(ada, one)
    const second = await prove(ada, other)
    expect((await ada.post(path(one), body(one, first))).body.state).toBe('approved')
    expect((await ada.post(path(other), body(other, second))).body.state).toBe('approved')
  })

  test('is none in another session of the same person, whether the one in which it was made goes on or not', async () => {
    const ada = await approver('there-ada')
    const one = await request()
    const proof = await prove(ada, one)
    const { token } = (await ada.post('/v1/session/command-line')).body
    const refused = await byHand(token, one, proof)
    expect([refused.status, refused.body.code]).toEqual([401, 'step_up_required'])
    // Nothing was used up.
    const again = await byHand(token, one, proof)
    expect(again.text.replaceAll(again.body.instance, '')).toBe(refused.text.replaceAll(refused.body.instance, ''))
    expect((await ada.post('/v1/session/end')).status).toBe(200)
    expect((await byHand(token, one, proof)).status).toBe(401)
    expect((await server.get(`/v1/approvals/${one.id}`)).body.state).toBe('requested')
  })

  test('ends with its session, and a session that ended while the passkey was asked leads to no other, nor to a passkey', async () => {
    const ada = await approver('late-ada')
    const begun = await ada.post('/v1/step-up/begin', {})
    const response = await ada.assert(begun.body.publicKey)
    const before = await has('late-ada')
    // Between the look at the session and the transaction that makes something of it.
    expect(await endedMeanwhile('late-ada', () => ada.post('/v1/step-up/finish', { challenge: begun.body.challenge, response }))).toBe(401)
    expect(await has('late-ada')).toEqual(before)
  })

  test('nor does one that ended while another passkey was enrolled, or a session for the command line begun', async () => {
    const ada = await approver('last-ada')
    await ada.plugIn({})
    const begun = await ada.post('/v1/passkeys/enrol/begin', { name: 'second' })
    const response = await ada.create(begun.body.publicKey)
    const before = await has('last-ada')
    const finish = () => ada.post('/v1/passkeys/enrol/finish', { challenge: begun.body.challenge, response })
    expect(await endedMeanwhile('last-ada', finish)).toBe(401)
    const eve = await approver('last-eve')
    expect(await endedMeanwhile('last-eve', () => eve.post('/v1/session/command-line'))).toBe(401)
    expect(await has('last-ada')).toEqual(before)
    expect((await has('last-eve')).sessions).toBe(1)
  })

  const OF = 'identity_id = (select id from identity where name = $1)'
  const count = async (table: string, name: string) => (await server.db.store.query(`select id from ${table} where ${OF}`, [name])).length
  const has = async (name: string) => ({ sessions: await count('session', name), passkeys: await count('passkey', name) })

  /** The status of what is asked in a session that is being ended, and has ended before the answer is made. */
  async function endedMeanwhile(name: string, ask: () => Promise<{ readonly status: number }>): Promise<number> {
    const { asked } = await server.db.store.inTx(async (tx) => {
      await tx.query(`update session set ended_at = now() where ${OF}`, [name])
      const asked = ask()
      await waitsForLock()
      return { asked }
    })
    return (await asked).status
  }

  /** Until somebody waits for a lock on a row: the request has passed the look at its session. */
  async function waitsForLock(): Promise<void> {
    for (let at = 0; at < 200; at++) {
      const waiting = await server.db.store.query(
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      )
      if (waiting.length > 0) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('nobody came to wait')
  }
})

/** Passkeys in a real browser with real (virtual) authenticators, against the real server; and what attackers make of them. */
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NO_CHROMIUM, startChromium, Tab } from '../../test/lab/chromium.ts'
import { fsckRights } from '../identity/index.ts'
import { consumeStepUpProof } from '../identity/login/index.ts'
import { newId } from '../kernel/index.ts'
import { type Answered, TestServer } from './testing.ts'

const DIGEST = 'a'.repeat(64)

describe.skipIf(NO_CHROMIUM !== null)('passkeys in Chromium', () => {
  let server: TestServer
  let browser: Browser
  let page: string
  const tabs: Tab[] = []

  beforeAll(async () => {
    server = await TestServer.start()
    browser = await startChromium()
    page = `${server.url.replace('127.0.0.1', 'localhost')}/healthz`
  }, 60_000)
  afterAll(async () => {
    await browser.close()
    await server.stop()
  })
  afterEach(async () => {
    for (const tab of tabs.splice(0)) await tab.close()
    await server.db.store.query('delete from login_counter')
    expect(server.undeclared()).toEqual([])
  })

  async function open(kind = {}): Promise<Tab> {
    const tab = await Tab.open(browser, page, kind)
    tabs.push(tab)
    return tab
  }

  async function codeFor(name: string): Promise<string> {
    const made = await server.post('/v1/login/bootstrap', { name })
    expect(made.status, made.text).toBe(201)
    return made.body.code
  }

  /** A new local administrator with one passkey, logged in. */
  async function admin(name: string, kind = {}): Promise<Tab> {
    const tab = await open(kind)
    const begun = await tab.post('/v1/login/enrol/begin', { code: await codeFor(name), name: 'first key' })
    expect(begun.status).toBe(200)
    const response = await tab.create(begun.body.publicKey)
    const done = await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })
    expect(done.status, JSON.stringify(done.body)).toBe(201)
    return tab
  }

  async function login(tab: Tab) {
    const begun = await tab.post('/v1/login/passkey/begin')
    expect(begun.status).toBe(200)
    return tab.post('/v1/login/passkey/finish', { challenge: begun.body.challenge, response: await tab.assert(begun.body.publicKey) })
  }

  async function stepUp(tab: Tab, act?: object) {
    const begun = await tab.post('/v1/step-up/begin', act === undefined ? {} : { act })
    expect(begun.status, JSON.stringify(begun.body)).toBe(200)
    const response = await tab.assert(begun.body.publicKey)
    return { begun: begun.body, response, done: await tab.post('/v1/step-up/finish', { challenge: begun.body.challenge, response }) }
  }

  /** The passkey of one browser in the authenticator of another: a copy, as no real one of the kind would allow. */
  async function moveKey(from: Tab, to: Tab, kind = {}): Promise<void> {
    const { credentials } = await from.cdp.send('WebAuthn.getCredentials', { authenticatorId: from.authenticator })
    await to.plugIn(kind)
    for (const credential of credentials) await to.cdp.send('WebAuthn.addCredential', { authenticatorId: to.authenticator, credential })
    expect(credentials).toHaveLength(1)
  }

  const ownPasskeys = async (tab: Tab) => {
    const { id } = (await tab.get('/v1/session')).body
    return (await tab.get(`/v1/passkeys?identity=${id}`)).body.items
  }

  const events = async (type: string) =>
    (
      await server.db.store.query<{ body: { subject: string; data: Record<string, unknown> } }>(
        "select body::jsonb as body from evidence_event where body::jsonb->>'type' = $1 order by 1",
        [type],
      )
    ).map(({ body }) => body)

  test('a local administrator enrols by a code, logs out and in again, and may do what the role says', async () => {
    const made = await server.post('/v1/login/bootstrap', { name: 'root-ada' })
    expect(made.body.code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4}$/)
    expect(made.body.url).toBe(`${new URL(page).origin}/login#code=${made.body.code}`)
    const again = await codeFor('root-ada')
    const tab = await open()
    // The code before it is of no use any more; this one is taken however it is typed.
    expect((await tab.post('/v1/login/enrol/begin', { code: made.body.code, name: 'k' })).status).toBe(401)
    const begun = await tab.post('/v1/login/enrol/begin', { code: again.toLowerCase().replaceAll('-', ' '), name: 'k' })
    expect(begun.status).toBe(200)
    const response = await tab.create(begun.body.publicKey)
    const done = await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })
    expect(done.body).toMatchObject({ name: 'root-ada', aal: 3 })
    expect((await tab.get('/v1/session')).body).toMatchObject({ name: 'root-ada', roles: ['bootstrap-admin'], aal: 3 })
    expect((await tab.post('/v1/teams', { name: 'by-ada' })).status).toBe(201)
    expect((await tab.post('/v1/session/end')).status).toBe(200)
    expect((await tab.get('/v1/session')).status).toBe(401)
    expect((await login(tab)).body).toMatchObject({ name: 'root-ada', aal: 3 })
    // Used once.
    const other = await open()
    const refused = await other.post('/v1/login/enrol/begin', { code: again, name: 'k' })
    expect(refused.status).toBe(401)
    expect((await server.post('/v1/login/bootstrap', { name: 'root-ada' })).status).toBe(409)
    const stored = JSON.stringify(await server.db.store.query('select * from enrolment_code'))
    expect(stored).not.toContain(again.replaceAll('-', ''))
    // The tables agree with what was recorded, until somebody puts another key in its place.
    const { store } = server.db
    const found = async () => (await fsckRights(store)).filter(({ where }) => /^(passkey|session) /.test(where))
    expect(await found()).toEqual([])
    await store.query('update passkey set public_key = public_key || $1', [Buffer.from('x')])
    expect((await found())[0]?.what).toContain('Its digest is')
    await store.query('update passkey set public_key = substring(public_key for length(public_key) - 1)')
    const [enrolled] = await events('passkey.enrolled')
    expect(enrolled?.data).toMatchObject({ by: 'code', deviceBound: true })
  })

  test('cookies are out of reach of scripts, and of other sites', async () => {
    const tab = await admin('cookie-ada')
    expect(await tab.page.evaluate('document.cookie')).toBe('')
    const cookies = await tab.context.cookies()
    expect(cookies.map(({ name }) => name).sort()).toEqual(['rekey-device', 'rekey-session'])
    for (const cookie of cookies) expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/' })
    // Another origin of this machine: the same host name with another port is another origin, whatever cookies think.
    const elsewhere = await TestServer.start()
    try {
      const attacker = await tab.context.newPage()
      await attacker.goto(`${elsewhere.url.replace('127.0.0.1', 'localhost')}/healthz`)
      const target = `${new URL(page).origin}/v1/session/end`
      const simple = await attacker.evaluate(
        (url) =>
          fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors' }).then(
            ({ type }) => type,
            () => 'failed',
          ),
        target,
      )
      expect(['opaque', 'failed']).toContain(simple)
      const asked = await attacker.evaluate(
        (url) =>
          fetch(url, { method: 'POST', credentials: 'include', headers: { 'x-rekey-request': '1' } }).then(
            () => 'read',
            () => 'failed',
          ),
        target,
      )
      expect(asked).toBe('failed')
    } finally {
      await elsewhere.stop()
    }
    expect((await tab.get('/v1/session')).status).toBe(200)
  })

  test('a synced passkey never counts as AAL3, one that is bound to its device does', async () => {
    const synced = await admin('synced-ada', { synced: true })
    expect((await synced.get('/v1/session')).body.aal).toBe(2)
    expect(await ownPasskeys(synced)).toEqual([expect.objectContaining({ deviceBound: false, backedUp: true })])
    const rows = await server.db.store.query<{ idle_seconds: number; hours: number }>(
      `select s.idle_seconds, extract(epoch from s.ends_at - s.authenticated_at)::integer / 3600 as hours
         from session s join identity i on i.id = s.identity_id where i.name = 'synced-ada'`,
    )
    expect(rows).toEqual([{ idle_seconds: 3600, hours: 24 }])
    const bound = await admin('bound-ada')
    const { session } = (await bound.get('/v1/session')).body
    expect(await server.db.store.query('select idle_seconds from session where id = $1', [session])).toEqual([{ idle_seconds: 900 }])
  })

  test('an authenticator that does not verify its user is of no use', async () => {
    const tab = await open({ verifies: false })
    const begun = await tab.post('/v1/login/enrol/begin', { code: await codeFor('unverified-ada'), name: 'k' })
    await expect(tab.create(begun.body.publicKey)).rejects.toThrow()
    // Also if the browser was told to do without.
    const lax = structuredClone(begun.body.publicKey)
    lax.authenticatorSelection = { residentKey: 'discouraged', requireResidentKey: false, userVerification: 'discouraged' }
    const response = await tab.create(lax)
    expect((await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })).status).toBe(401)
    const good = await admin('verified-ada')
    await moveKey(good, good, { verifies: false })
    const asked = (await good.post('/v1/step-up/begin')).body
    const assertion = await good.assert({ ...asked.publicKey, userVerification: 'discouraged' })
    expect((await good.post('/v1/step-up/finish', { challenge: asked.challenge, response: assertion })).status).toBe(401)
  })

  test('a step-up confirms one act, once, and is a proof of nothing else', async () => {
    const tab = await admin('step-ada')
    const subject = newId()
    const act = { action: 'approval:decide', subject, digest: DIGEST }
    const before = await tab.context.cookies()
    const { begun, response, done } = await stepUp(tab, act)
    expect(begun.words).toContain(`approval:decide on ${subject}`)
    expect(done.status, JSON.stringify(done.body)).toBe(200)
    const { proof, identity } = done.body
    const use = (change: object, who = { identity, session: done.body.session }) =>
      server.db.store.inTx((tx) => consumeStepUpProof(tx, who, proof, { ...act, ...change }))
    expect(await use({ action: 'approval:bypass' })).toBeNull()
    expect(await use({ subject: newId() })).toBeNull()
    expect(await use({ digest: 'b'.repeat(64) })).toBeNull()
    expect(await use({}, { identity: newId(), session: done.body.session })).toBeNull()
    expect(await use({}, { identity, session: newId() })).toBeNull()
    expect(await use({})).toMatchObject({ digest: DIGEST, credentialId: response.id })
    expect(await use({})).toBeNull()
    // A session that was stolen before does not get stronger with it.
    const after = await tab.context.cookies()
    const session = (all: typeof after) => all.find(({ name }) => name === 'rekey-session')?.value
    expect(session(after)).not.toBe(session(before))
    const [confirmed] = await events('step_up.confirmed')
    expect(confirmed?.data).toEqual(act)
    // Replayed: the challenge is gone.
    expect((await tab.post('/v1/step-up/finish', { challenge: begun.challenge, response })).status).toBe(401)
    // For a challenge of another act.
    const other = (await tab.post('/v1/step-up/begin', { act: { ...act, digest: 'c'.repeat(64) } })).body
    expect((await tab.post('/v1/step-up/finish', { challenge: other.challenge, response })).status).toBe(401)
    // An assertion that was made to log in is no step-up, and the other way round.
    const loginAsked = (await tab.post('/v1/login/passkey/begin')).body
    const loginAnswer = await tab.assert(loginAsked.publicKey)
    const third = (await tab.post('/v1/step-up/begin', { act })).body
    expect((await tab.post('/v1/step-up/finish', { challenge: third.challenge, response: loginAnswer })).status).toBe(401)
    expect((await tab.post('/v1/step-up/finish', { challenge: loginAsked.challenge, response: loginAnswer })).status).toBe(401)
  })

  test('a proof that waits too long is none', async () => {
    const tab = await admin('late-ada')
    const act = { action: 'approval:decide', subject: 'x', digest: DIGEST }
    const { done } = await stepUp(tab, act)
    await server.db.store.query("update step_up_proof set expires_at = now() - interval '1 second'")
    const { identity, session, proof } = done.body
    expect(await server.db.store.inTx((tx) => consumeStepUpProof(tx, { identity, session }, proof, act))).toBeNull()
    const begun = (await tab.post('/v1/step-up/begin')).body
    const response = await tab.assert(begun.publicKey)
    await server.db.store.query("update passkey_challenge set expires_at = now() - interval '1 second'")
    expect((await tab.post('/v1/step-up/finish', { challenge: begun.challenge, response })).status).toBe(401)
  })

  test('a challenge belongs to who asked for it', async () => {
    const ada = await admin('holder-ada')
    const bob = await admin('holder-bob')
    const asked = (await ada.post('/v1/step-up/begin')).body
    const response = await ada.assert(asked.publicKey)
    expect((await bob.post('/v1/step-up/finish', { challenge: asked.challenge, response })).status).toBe(401)
    // Trying it did not use it up.
    expect((await ada.post('/v1/step-up/finish', { challenge: asked.challenge, response })).status).toBe(200)
    // Login CSRF: bob's answer in ada's browser.
    const bobs = (await bob.post('/v1/login/passkey/begin')).body
    const answer = await bob.assert(bobs.publicKey)
    expect((await ada.post('/v1/login/passkey/finish', { challenge: bobs.challenge, response: answer })).status).toBe(401)
    // Bob's passkey for ada's step-up.
    const hers = (await ada.post('/v1/step-up/begin')).body
    const his = await bob.assert({ challenge: hers.publicKey.challenge, rpId: 'localhost', userVerification: 'required' })
    expect((await ada.post('/v1/step-up/finish', { challenge: hers.challenge, response: his })).status).toBe(401)
  })

  test('another origin and another relying party are refused', async () => {
    const tab = await admin('origin-ada')
    const elsewhere = await TestServer.start()
    try {
      // The same host name, another port: browsers give the passkey to both, the origin tells them apart.
      const asked = (await tab.post('/v1/login/passkey/begin')).body
      await tab.page.goto(`${elsewhere.url.replace('127.0.0.1', 'localhost')}/healthz`)
      const phished = await tab.assert(asked.publicKey)
      await tab.page.goto(page)
      expect((await tab.post('/v1/login/passkey/finish', { challenge: asked.challenge, response: phished })).status).toBe(401)
    } finally {
      await elsewhere.stop()
    }
    const asked = (await tab.post('/v1/login/passkey/begin')).body
    await expect(tab.assert({ ...asked.publicKey, rpId: 'example.com' })).rejects.toThrow()
    await server.db.store.query(
      "update passkey set rp_id = 'example.com' where identity_id = (select id from identity where name = 'origin-ada')",
    )
    const response = await tab.assert(asked.publicKey)
    expect((await tab.post('/v1/login/passkey/finish', { challenge: asked.challenge, response })).status).toBe(401)
  })

  test('every failure has the same bytes, for the suspended, the unknown and the wrong', async () => {
    const tab = await admin('bytes-ada')
    const texts = new Set<string>()
    const note = (answer: { status: number; body: unknown }) => {
      expect(answer.status).toBe(401)
      texts.add(JSON.stringify(answer.body))
    }
    await server.post('/v1/identities/bytes-ada/suspend', { reason: 'test' })
    expect((await tab.get('/v1/session')).status).toBe(401)
    note(await login(tab))
    const [refused] = (await events('login.refused')).filter(({ subject }) => subject === 'bytes-ada')
    expect(refused?.data).toMatchObject({ why: 'not active' })
    const asked = (await tab.post('/v1/login/passkey/begin')).body
    const assertion = await tab.assert(asked.publicKey)
    const finish = async (response: unknown) => {
      const { challenge } = (await tab.post('/v1/login/passkey/begin')).body
      return tab.post('/v1/login/passkey/finish', { challenge, response })
    }
    note(await finish(assertion))
    note(await finish({ ...assertion, id: 'AAAA', rawId: 'AAAA' }))
    note(await finish({ ...assertion, response: { ...assertion.response, clientDataJSON: 'e30' } }))
    note(await finish({ ...assertion, response: { ...assertion.response, authenticatorData: '', signature: '' } }))
    note(await tab.post('/v1/login/passkey/finish', { challenge: newId(), response: assertion }))
    expect(texts.size).toBe(1)
  })

  test('an authenticator that was copied is found out by its counter', async () => {
    const tab = await admin('clone-ada')
    expect((await login(tab)).status).toBe(200)
    await server.db.store.query(
      "update passkey set counter = counter + 1000 where identity_id = (select id from identity where name = 'clone-ada')",
    )
    expect((await login(tab)).status).toBe(401)
    const [regressed] = await events('passkey.counter_regressed')
    expect(regressed).toMatchObject({ subject: 'clone-ada', data: { passkey: 'first key' } })
  })

  test('strangers use up their own tries; the owner in a known browser still gets in, and a crash counts as a failure', async () => {
    const tab = await admin('tries-ada')
    const [row] = await server.db.store.query<{ id: string }>(
      "select p.id from passkey p join identity i on i.id = p.identity_id where i.name = 'tries-ada'",
    )
    const key = `passkey:${row?.id}:strangers`
    await server.db.store.query('insert into login_counter (key, failures) values ($1, 99)', [key])
    const asked = (await tab.post('/v1/login/passkey/begin')).body
    const assertion = await tab.assert(asked.publicKey)
    const wrong = { ...assertion, response: { ...assertion.response, signature: 'AAAA' } }
    const stranger = await open()
    const attempt = async (response: unknown) => {
      const { challenge } = (await stranger.post('/v1/login/passkey/begin')).body
      return (await stranger.post('/v1/login/passkey/finish', { challenge, response })).status
    }
    expect(await attempt(wrong)).toBe(401)
    const [locked] = await events('passkey.locked')
    expect(locked?.data).toMatchObject({ failures: 100, from: 'unknown browsers' })
    // Even the right one, from a browser that nobody knows.
    await moveKey(tab, stranger)
    expect((await login(stranger)).status).toBe(401)
    expect((await login(tab)).status).toBe(200)
    expect(await server.db.store.query('select failures from login_counter where key = $1', [key])).toEqual([{ failures: 100 }])
  })

  test('more passkeys are enrolled by a login as good as they are, and never the last one of the last administrator removed', async () => {
    await server.db.store.query('delete from passkey')
    const tab = await admin('list-ada')
    await tab.plugIn({ synced: true })
    const begun = await tab.post('/v1/passkeys/enrol/begin', { name: 'phone' })
    expect(begun.status).toBe(200)
    const response = await tab.create(begun.body.publicKey)
    const done = await tab.post('/v1/passkeys/enrol/finish', { challenge: begun.body.challenge, response })
    expect(done.body).toMatchObject({ name: 'phone', deviceBound: false })
    expect((await tab.post('/v1/passkeys/enrol/finish', { challenge: begun.body.challenge, response })).status).toBe(422)
    const [first, second] = (await tab.get('/v1/passkeys')).body.items
    // The synced one makes no stronger one.
    expect((await login(tab)).body.aal).toBe(2)
    const weak = await tab.post('/v1/passkeys/enrol/begin', { name: 'more' })
    expect(weak.status).toBe(401)
    expect(weak.headers['www-authenticate']).toBe('Bearer error="insufficient_user_authentication", acr_values="aal3", max_age=900')
    const reason = 'lost'
    // Nor does it take the stronger one away, to enrol another by what is left: somebody else does.
    const taken = await tab.post(`/v1/passkeys/${first.passkey}/remove`, { reason })
    expect(taken.status).toBe(401)
    expect(taken.body.stepUp).toEqual({ aal: 3, maxAgeSeconds: 900 })
    expect((await server.post(`/v1/passkeys/${first.passkey}/remove`, { reason })).status).toBe(200)
    const last = await tab.post(`/v1/passkeys/${second.passkey}/remove`, { reason })
    expect(last.status).toBe(409)
    const other = await admin('list-bob')
    const mine = await ownPasskeys(other)
    expect(mine).toHaveLength(1)
    expect((await tab.post(`/v1/passkeys/${second.passkey}/remove`, { reason })).status).toBe(200)
    // The session that began with it is over too.
    expect((await tab.get('/v1/session')).status).toBe(401)
    expect((await other.post(`/v1/passkeys/${mine[0].passkey}/remove`, { reason })).status).toBe(409)
  })

  test('a wrong code is a wrong login, and a code ends', async () => {
    const tab = await open()
    const code = await codeFor('code-ada')
    const wrong = await tab.post('/v1/login/enrol/begin', { code: '0000-0000-0000-0000-0000-0000-0000-0000', name: 'k' })
    expect(wrong.status).toBe(401)
    const begun = await tab.post('/v1/login/enrol/begin', { code, name: 'k' })
    const response = await tab.create(begun.body.publicKey)
    await server.db.store.query("update enrolment_code set expires_at = now() - interval '1 second'")
    const late = await tab.post('/v1/login/enrol/finish', { challenge: begun.body.challenge, response })
    expect(late.status).toBe(401)
    expect(JSON.stringify(late.body).replace('finish', 'begin')).toBe(JSON.stringify(wrong.body))
    expect(
      await server.db.store.query("select 1 from passkey p join identity i on i.id = p.identity_id where i.name = 'code-ada'"),
    ).toEqual([])
  })
})

describe('who makes an administrator', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
  })
  afterAll(() => server.stop())

  const tokenWith = async (role: string): Promise<string> => {
    const [text, id] = [`rekey_${newId()}`, newId()]
    await server.db.store.query("insert into api_token (id, name, hash) values ($1, 'some', sha256(convert_to($2, 'UTF8')))", [id, text])
    await server.db.store.query(
      "insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, 'token', $3, 'test', 'test')",
      [newId(), role, id],
    )
    return text
  }

  test('holds the role: neither control rights nor directory rights alone lead to both', async () => {
    const attempt = async (token: string): Promise<Answered> =>
      server.send('POST', '/v1/login/bootstrap', { token, body: { name: 'mallory' } })
    for (const role of ['security-admin', 'directory-admin', 'auditor'])
      expect((await attempt(await tokenWith(role))).status, role).toBe(403)
    expect((await server.get('/v1/identities/mallory')).status).toBe(404)
    expect((await server.post('/v1/login/bootstrap', { name: 'mallory' })).status).toBe(201)
  })
})

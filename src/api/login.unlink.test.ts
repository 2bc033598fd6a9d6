/** Who was linked wrongly stays in by no passkey of their own making, and the rightful person loses none without a word. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NO_CHROMIUM, startChromium, Tab } from '../../test/lab/chromium.ts'
import { type OidcLab, startOidc } from '../../test/lab/oidc.ts'
import { fsckIdentities } from '../identity/index.ts'
import { linkOfSession } from '../identity/login/passkey.store.ts'
import { done } from './routes/tokens/testing.ts'
import { TestServer } from './testing.ts'

describe.skipIf(NO_CHROMIUM !== null)('passkeys that came by a link', () => {
  let server: TestServer
  let browser: Awaited<ReturnType<typeof startChromium>>
  let idp: OidcLab
  let origin: string
  beforeAll(async () => {
    server = await TestServer.start()
    browser = await startChromium()
    origin = server.url.replace('127.0.0.1', 'localhost')
    idp = await startOidc({ redirectUris: [`${origin}/login/callback/corp`] })
    const secret = Buffer.from(idp.clientSecret).toString('base64')
    const { issuer, clientId } = idp
    done(await server.post('/v1/login/providers', { name: 'corp', issuer, clientId, auth: 'client_secret_basic', secret, acr: { mfa: 2 } }))
  }, 60_000)
  afterAll(async () => {
    await browser.close()
    await idp.stop()
    await server.stop()
  })
  afterEach(async () => {
    expect(server.undeclared()).toEqual([])
    expect(await fsckIdentities(server.db.store)).toEqual([])
  })

  const link = (identity: string, subject: string, more: object = {}) =>
    server.post('/v1/login/links', { identity, provider: 'corp', subject, reason: 'ticket 1', ...more })
  const unlink = (identity: string, more: object = {}) =>
    server.post('/v1/login/links/remove', { identity, provider: 'corp', reason: 'that was not her', ...more })
  const ok = (answer: Awaited<ReturnType<Tab['post']>>) => done({ ...answer, headers: new Headers(), text: JSON.stringify(answer.body) })
  const byPasskey = async (tab: Tab) => {
    const { challenge, publicKey } = ok(await tab.post('/v1/login/passkey/begin', {}))
    return tab.post('/v1/login/passkey/finish', { challenge, response: await tab.assert(publicKey) })
  }

  /** Somebody who came in by this subject, and enrolled a passkey then. */
  async function enrolled(identity: string, subject: string, name: string): Promise<Tab> {
    done(await link(identity, subject))
    const tab = await Tab.open(browser, `${origin}/healthz`, {})
    const { url } = ok(await tab.post('/v1/login/oidc/begin', { provider: 'corp' }))
    const response = await idp.visit(url, { account: subject, acr: 'mfa' })
    ok(await tab.post('/v1/login/oidc/finish', { provider: 'corp', response }))
    const { challenge, publicKey } = ok(await tab.post('/v1/passkeys/enrol/begin', { name }))
    ok(await tab.post('/v1/passkeys/enrol/finish', { challenge, response: await tab.create(publicKey) }))
    return tab
  }

  /** Nothing is done, and the passkey is named. */
  async function asked(asking: ReturnType<typeof unlink>, name: string): Promise<void> {
    const { status, body, text } = await asking
    expect([status, body.code, body.detail], text).toEqual([409, 'wrong_state', expect.stringContaining(`"${name}"`)])
  }

  test('are asked about, and end with it when somebody says so, with what began by them', async () => {
    done(await server.post('/v1/identities', { name: 'kate', kind: 'human' }))
    const tab = await enrolled('kate', 'sub-mallory', 'mine')
    const { session } = ok(await byPasskey(tab))
    expect(await server.db.store.inTx((tx) => linkOfSession(tx, session)), 'another passkey would come by the link too').toBe('oidc:corp')
    await asked(unlink('kate'), 'mine')
    await asked(link('kate', 'sub-kate'), 'mine')
    expect((await tab.get('/v1/session')).status).toBe(200)
    const ended = done(await unlink('kate', { passkeys: 'remove' }))
    expect(ended).toMatchObject({ identity: 'kate', provider: 'corp', passkeysRemoved: 1, passkeysLeft: [], tokensLeft: 0 })
    expect((await tab.get('/v1/session')).status).toBe(401)
    expect((await byPasskey(tab)).status).toBe(401)
  })

  test('are left to the rightful person when somebody says so, and are not asked about again', async () => {
    done(await server.post('/v1/identities', { name: 'kim', kind: 'human' }))
    const tab = await enrolled('kim', 'sub-kim', 'own')
    await asked(link('kim', 'sub-kim-new'), 'own')
    done(await link('kim', 'sub-kim-new', { passkeys: 'keep' }))
    expect((await byPasskey(tab)).status).toBe(200)
    expect(done(await unlink('kim'))).toMatchObject({ passkeysRemoved: 0, passkeysLeft: [{ name: 'own' }] })
    expect((await tab.get('/v1/session')).status).toBe(200)
  })
})

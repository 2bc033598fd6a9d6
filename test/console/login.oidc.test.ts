/** A person logs in at a real OpenID provider, through the pages of the console and of the provider. */
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type OidcLab, startOidc } from '../lab/oidc.ts'
import { ConsoleLab, lowContrast, type Person } from './kit.ts'

let lab: ConsoleLab
let idp: OidcLab
let ada: Person

beforeAll(async () => {
  lab = await ConsoleLab.start()
  idp = await startOidc({ redirectUris: [`${lab.origin}/login/callback/corp`] })
  lab.maySendTo(idp.issuer)
  ada = await lab.person('ada', 'approver', 'directory-admin')
  const { issuer, clientId, clientSecret } = idp
  const secret = Buffer.from(clientSecret).toString('base64')
  const acr = { 'urn:lab:mfa': 2, 'urn:lab:hardware': 3 }
  const added = await lab.server.post('/v1/login/providers', {
    name: 'corp',
    issuer,
    clientId,
    auth: 'client_secret_basic',
    secret,
    acr,
  })
  expect(added.status, added.text).toBe(201)
  const link = { identity: 'ada', provider: 'corp', subject: 'sub-ada', reason: 'test' }
  expect((await lab.server.post('/v1/login/links', link)).status).toBe(200)
})
afterAll(async () => {
  await lab?.stop()
  await idp?.stop()
})
afterEach(() => expect(lab.misdeeds()).toEqual([]))

/** At the provider's page. */
async function answer(page: Page, account: string, acr: string, act: 'Log in' | 'Refuse' = 'Log in'): Promise<void> {
  await page.getByRole('heading', { name: 'Log in at the provider' }).waitFor()
  expect(new URL(page.url()).origin).toBe(new URL(idp.issuer).origin)
  await page.getByLabel('Account').fill(account)
  await page.getByLabel('How').fill(acr)
  await page.getByRole('button', { name: act }).click()
}

test('the button of the provider leads over its page and back to where one wanted to go, with the level that it says', async () => {
  const page = await (await lab.context()).newPage()
  const asked: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  await page.goto('/approvals?of=requested')
  await page.getByRole('button', { name: 'Continue with corp' }).click()
  await answer(page, 'sub-ada', 'urn:lab:mfa')
  await page.getByRole('heading', { name: 'Approvals' }).waitFor()
  await page.getByText('AAL2').waitFor()
  expect(page.url()).toBe(`${lab.origin}/approvals?of=requested`)
  const me = await page.request.get('/v1/session')
  expect(await me.json()).toMatchObject({ kind: 'person', id: ada.id, aal: 2 })
  // The code of the provider is in no address that the server was asked for, and not to be found by going back.
  const ours = asked.filter((url) => url.startsWith(lab.origin))
  expect(ours.some((url) => url.startsWith(`${lab.origin}/login/callback/corp`))).toBe(true)
  expect(ours.filter((url) => /[?&]code=/.test(url))).toEqual([])
  await page.goBack()
  expect(page.url()).not.toContain('code=')
})

test('a person whom the provider does not vouch for, or nobody on record, is told so and not logged in', async () => {
  const page = await (await lab.context()).newPage()
  for (const [account, act] of [
    ['sub-ada', 'Refuse'],
    ['sub-nobody', 'Log in'],
  ] as const) {
    await page.goto('/login')
    await page.getByRole('button', { name: 'Continue with corp' }).click()
    await answer(page, account, 'urn:lab:mfa', act)
    await page.getByRole('alert').waitFor()
    expect(await lowContrast(page)).toEqual([])
    expect((await page.request.get('/v1/session')).status()).toBe(401)
    await page.getByRole('link', { name: 'Back to the login' }).click()
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    await page.context().clearCookies()
  }
})

test('what comes back a second time, or to a browser that did not ask, logs nobody in', async () => {
  const page = await (await lab.context()).newPage()
  const back = page.waitForRequest((request) => request.url().includes('/v1/login/oidc/finish'))
  await page.goto('/login')
  await page.getByRole('button', { name: 'Continue with corp' }).click()
  await answer(page, 'sub-ada', 'urn:lab:mfa')
  const { response } = (await back).postDataJSON()
  await page.getByRole('heading', { name: 'Identities' }).waitFor()
  const other = await (await lab.context()).newPage()
  await other.goto(`/login/callback/corp#${response}`)
  await other.getByRole('alert').waitFor()
  expect(other.url()).toBe(`${lab.origin}/login/callback/corp`)
  expect((await other.request.get('/v1/session')).status()).toBe(401)
})

test('a login that is too weak is made better at the provider, and one is back where one was', async () => {
  const page = await (await lab.context()).newPage()
  await page.goto('/identities')
  await page.getByRole('button', { name: 'Continue with corp' }).click()
  await answer(page, 'sub-ada', 'urn:lab:password')
  await page.getByText('AAL1').waitFor()
  await lab.person('grace')
  await page.goto('/identities/grace/suspend')
  await page.getByLabel('Reason, for the record').fill('laptop lost')
  await page.getByRole('button', { name: 'Suspend', exact: true }).click()
  await page.getByRole('alert').getByText('This needs a login of level AAL2').waitFor()
  // The provider remembers her, and asks her all the same. Where she does no more than before, she is told that this is not enough.
  await page.getByRole('button', { name: 'Log in again at corp' }).click()
  await answer(page, 'sub-ada', 'urn:lab:password')
  await page.getByText('AAL2 was asked for, and corp says that this login is worth AAL1').waitFor()
  expect(await lowContrast(page)).toEqual([])
  await page.getByRole('button', { name: 'Go on with AAL1' }).click()
  await page.getByLabel('Reason, for the record').fill('laptop lost')
  await page.getByRole('button', { name: 'Suspend', exact: true }).click()
  await page.getByRole('button', { name: 'Log in again at corp' }).click()
  await answer(page, 'sub-ada', 'urn:lab:mfa')
  await page.getByRole('heading', { name: 'Suspend grace' }).waitFor()
  await page.getByText('AAL2').waitFor()
  expect(new URL(page.url()).pathname).toBe('/identities/grace/suspend')
})

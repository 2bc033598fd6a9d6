/** Debian's Chromium, without a screen, with authenticators that its debugging protocol makes (CDP `WebAuthn`). */
import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core'
import { findProgram } from './program.ts'

const PROGRAM = findProgram('chromium')
if (PROGRAM === null && process.env.REKEY_LAB === 'all') throw new Error('Chromium is not installed: chromium is missing')

/** Why tests in a browser are skipped; null if they are not. */
export const NO_CHROMIUM = PROGRAM === null ? 'chromium is not installed' : null

/** Starts Chromium. Its profile is a temporary folder of its own. */
export function startChromium(): Promise<Browser> {
  if (PROGRAM === null) throw new Error('Chromium is not installed')
  // Its sandbox does not work for root.
  return chromium.launch({ executablePath: PROGRAM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
}

/** What an authenticator is like. */
export interface AuthenticatorKind {
  /** True: a passkey of it may be synced (backup eligible). */
  readonly synced?: boolean
  /** False: it cannot verify its user. */
  readonly verifies?: boolean
}

interface Answer {
  readonly status: number
  readonly body: ReturnType<typeof JSON.parse>
  readonly headers: Record<string, string>
}

/** A person's browser on a page of the server, with one authenticator. */
export class Tab {
  readonly context: BrowserContext
  readonly page: Page
  readonly cdp: CDPSession
  authenticator = ''

  private constructor(context: BrowserContext, page: Page, cdp: CDPSession) {
    this.context = context
    this.page = page
    this.cdp = cdp
  }

  /** The page is one that answers JSON; its policy against scripts is passed over, since the test is the script. */
  static async open(browser: Browser, url: string, kind: AuthenticatorKind = {}): Promise<Tab> {
    const context = await browser.newContext({ bypassCSP: true })
    const page = await context.newPage()
    await page.goto(url)
    const tab = new Tab(context, page, await context.newCDPSession(page))
    await tab.cdp.send('WebAuthn.enable')
    await tab.plugIn(kind)
    return tab
  }

  async plugIn({ synced = false, verifies = true }: AuthenticatorKind): Promise<void> {
    if (this.authenticator !== '') await this.cdp.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: this.authenticator })
    const options = {
      protocol: 'ctap2',
      transport: 'usb',
      hasResidentKey: true,
      hasUserVerification: verifies,
      isUserVerified: verifies,
      automaticPresenceSimulation: true,
      defaultBackupEligibility: synced,
      defaultBackupState: synced,
    } as const
    this.authenticator = (await this.cdp.send('WebAuthn.addVirtualAuthenticator', { options })).authenticatorId
  }

  send(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.page.evaluate(
      async ([method, path, body]) => {
        const headers: Record<string, string> = method === 'GET' ? {} : { 'x-rekey-request': '1' }
        if (body !== null) headers['content-type'] = 'application/json'
        const answer = await fetch(path, { method, headers, ...(body === null ? {} : { body }) })
        return { status: answer.status, body: await answer.json(), headers: Object.fromEntries(answer.headers) }
      },
      [method, path, body === undefined ? null : JSON.stringify(body)] as const,
    )
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path)
  }

  post(path: string, body?: unknown): Promise<Answer> {
    return this.send('POST', path, body)
  }

  /** A new passkey, as `startRegistration` makes it. Rejects with what the browser says. */
  create(publicKey: unknown): Promise<ReturnType<typeof JSON.parse>> {
    return this.page.evaluate(`(async () => {
      const options = PublicKeyCredential.parseCreationOptionsFromJSON(${JSON.stringify(publicKey)})
      return (await navigator.credentials.create({ publicKey: options })).toJSON()
    })()`)
  }

  /** An assertion, as `startAuthentication` makes it. */
  assert(publicKey: unknown): Promise<ReturnType<typeof JSON.parse>> {
    return this.page.evaluate(`(async () => {
      const options = PublicKeyCredential.parseRequestOptionsFromJSON(${JSON.stringify(publicKey)})
      return (await navigator.credentials.get({ publicKey: options })).toJSON()
    })()`)
  }

  close(): Promise<void> {
    return this.context.close()
  }
}

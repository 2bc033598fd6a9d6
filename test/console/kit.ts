/** Debian's Chromium on the real server with real rows. Every page is watched: what it asks for elsewhere, and what its policy refuses. */
import { join } from 'node:path'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { readConsole } from '../../src/api/console.ts'
import { TestServer } from '../../src/api/testing.ts'
import { buildConsole } from '../../src/cli/console.ts'
import { startSession } from '../../src/identity/session.ts'
import { makeCtx, newId } from '../../src/kernel/index.ts'
import { findProgram } from '../lab/program.ts'
import { ROOT } from '../source.ts'

/** A person who is logged in. */
export interface Person {
  readonly id: string
  readonly name: string
}

/** What a page did that none may do. Empty at the end of every test. */
interface Seen {
  readonly foreign: string[]
  readonly violations: string[]
  readonly errors: string[]
}

const VIEW = { width: 1280, height: 800 }

export class ConsoleLab {
  readonly server: TestServer
  readonly #browser: Browser
  readonly #seen: Seen = { foreign: [], violations: [], errors: [] }
  readonly #leavesFor = new Set<string>()

  private constructor(server: TestServer, browser: Browser) {
    this.server = server
    this.#browser = browser
  }

  static async start(): Promise<ConsoleLab> {
    const said: string[] = []
    const built = await buildConsole((line) => void said.push(line))
    if (built !== 'fresh' && built !== 'built') throw new Error(`the console was not built: ${said.join('\n')}`)
    const server = await TestServer.start({ console: readConsole(join(ROOT, 'console/dist')) })
    const executablePath = findProgram('chromium') ?? 'chromium'
    const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
    return new ConsoleLab(server, browser)
  }

  /** Where browsers find it. A name, because passkeys belong to one. */
  get origin(): string {
    return `http://localhost:${new URL(this.server.url).port}`
  }

  /** A browser of its own, watched. */
  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    const context = await this.#browser.newContext({
      baseURL: this.origin,
      viewport: VIEW,
      locale: 'en-GB',
      timezoneId: 'Asia/Kolkata',
      // A colour on its way to another has no contrast to measure.
      reducedMotion: 'reduce',
      ...options,
    })
    context.setDefaultTimeout(15_000)
    await context.exposeFunction('noteViolation', (text: string) => void this.#seen.violations.push(text))
    await context.addInitScript(`addEventListener('securitypolicyviolation', (event) => {
      noteViolation(event.effectiveDirective + ' ' + event.blockedURI)
    })`)
    const { origin } = new URL(options.baseURL ?? this.origin)
    context.on('request', (request) => {
      const to = new URL(request.url()).origin
      if (to === origin || (request.isNavigationRequest() && this.#leavesFor.has(to))) return
      // What the provider's own page asks for is its own affair.
      if (!request.isNavigationRequest() && new URL(request.frame().url()).origin === to) return
      this.#seen.foreign.push(request.url())
    })
    context.on('page', (page) => page.on('pageerror', (error) => void this.#seen.errors.push(error.message)))
    return context
  }

  /** From now on a page may go to this origin, as a page; to ask for anything there stays a misdeed. */
  maySendTo(url: string): void {
    this.#leavesFor.add(new URL(url).origin)
  }

  /** A person on record with these roles. */
  async person(name: string, ...roles: readonly string[]): Promise<Person> {
    const made = await this.server.post('/v1/identities', { name, kind: 'human' })
    if (made.status !== 201) throw new Error(made.text)
    const id = made.body.id as string
    for (const role of roles) {
      // One person alone holds what a default installation gives to several.
      const binding = { role, kind: 'identity', subject: id, reason: 'for a test of the console', force: true }
      const bound = await this.server.post('/v1/role-bindings', binding)
      if (bound.status !== 201) throw new Error(bound.text)
    }
    return { id, name }
  }

  /** Logs a person in: a session as a login at a provider begins one. */
  async login(context: BrowserContext, { id, name }: Person, aal: 1 | 2 | 3 = 2): Promise<void> {
    const how = { method: 'oidc', provider: null, passkey: null, browser: 'Chromium', replaces: null } as const
    const session = await this.server.parts.store.inTx((tx) =>
      startSession(tx, makeCtx('test', newId()), { identity: id, name, aal, authenticatedAt: null, ...how }),
    )
    if (session === null) throw new Error('no session began')
    const value = session.token.revealText((text) => text)
    await context.addCookies([{ name: 'rekey-session', value, url: this.origin, httpOnly: true, sameSite: 'Strict' }])
  }

  /** A page of a person who is logged in. */
  async page(person: Person, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.context(options)
    await this.login(context, person)
    return context.newPage()
  }

  /** What no page may do and one did: left the origin, was refused by the policy, threw. Empty at the end of every test. */
  misdeeds(): string[] {
    const { foreign, violations, errors } = this.#seen
    return [...foreign, ...violations, ...errors]
  }

  async stop(): Promise<void> {
    await this.#browser.close()
    await this.server.stop()
  }
}

/** Texts of a page whose contrast against what they stand on is too low (WCAG 2.2, 1.4.3); what is disabled may be. */
export async function lowContrast(page: Page): Promise<string[]> {
  return page.evaluate(CONTRAST) as Promise<string[]>
}

const CONTRAST = `(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number)
    return { r, g, b, a }
  }
  const channel = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
  const light = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor)
      if (colour.a === 1) return colour
      if (colour.a > 0) throw new Error('a background that one can see through')
    }
    return parse(matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(18, 18, 18)' : 'rgb(255, 255, 255)')
  }
  const found = []
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '')
    const field = element.matches('input, textarea, select')
    if ((!own && !field) || element.matches(':disabled, noscript, noscript *') || element.closest('.unseen')) continue
    const style = getComputedStyle(element)
    if (element.checkVisibility && !element.checkVisibility()) continue
    const [a, b] = [light(parse(style.color)), light(behind(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const size = parseFloat(style.fontSize)
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (large ? 3 : 4.5)) found.push(element.tagName + ' ' + element.textContent.slice(0, 30) + ' ' + ratio.toFixed(2))
  }
  return found
})()`

/** By how many pixels a page is wider than its window. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth') as Promise<number>
}

interface Authenticator {
  readonly synced?: boolean
  readonly transport?: 'internal' | 'usb'
}

/** An authenticator that stands for one built into the device, or (`synced`) for one whose keys go along to other devices. */
export async function authenticator(page: Page, { synced = false, transport = 'internal' }: Authenticator = {}): Promise<void> {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport,
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
      defaultBackupEligibility: synced,
      defaultBackupState: synced,
    },
  })
}

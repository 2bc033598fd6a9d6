/** For tests only: people who log in at a real OpenID provider, and the tokens that they make. */
import { startOidc } from '../../../../test/lab/oidc.ts'
import { type Answered, TestServer } from '../../testing.ts'
import { Visitor } from '../login/testing.ts'

type Body = Answered['body']

/** Somebody, or something, that asks over HTTP. */
export interface Asker {
  readonly id: string
  readonly name: string
  /** Of a token; empty for people. */
  readonly text: string
  get(path: string): Promise<Answered>
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answered>
}

export class People {
  readonly server: TestServer
  readonly #idp: Awaited<ReturnType<typeof startOidc>>

  private constructor(server: TestServer, idp: Awaited<ReturnType<typeof startOidc>>) {
    this.server = server
    this.#idp = idp
  }

  static async start(): Promise<People> {
    const server = await TestServer.start()
    const idp = await startOidc({ redirectUris: [`${server.url}/login/callback/corp`] })
    const { issuer, clientId, clientSecret } = idp
    const people = new People(server, idp)
    const secret = Buffer.from(clientSecret).toString('base64')
    await people.made('/v1/login/providers', { name: 'corp', issuer, clientId, auth: 'client_secret_basic', secret, acr: { mfa: 2 } })
    return people
  }

  /** As the first token; throws unless it is done. */
  async made(path: string, body: unknown): Promise<Body> {
    return done(await this.server.post(path, body))
  }

  /** Somebody on record with these roles, logged in with two factors. */
  async person(name: string, ...roles: readonly string[]): Promise<Asker & { readonly browser: Visitor }> {
    const { id } = await this.made('/v1/identities', { name, kind: 'human' })
    for (const role of roles)
      await this.made('/v1/role-bindings', { role, kind: 'identity', subject: id, reason: 'for the tests', force: true })
    await this.made('/v1/login/links', { identity: id, provider: 'corp', subject: `sub-${name}`, reason: 'tests' })
    const browser = new Visitor(this.server)
    await this.login(browser, name)
    return {
      id,
      browser,
      name,
      text: '',
      get: (path) => browser.get(path),
      post: (path, body, headers) => browser.post(path, body, headers),
    }
  }

  /** Logs somebody who is linked in, with two factors. */
  async login(browser: Visitor, name: string): Promise<void> {
    const { url } = done(await browser.post('/v1/login/oidc/begin', { provider: 'corp' }))
    const response = await this.#idp.visit(url, { account: `sub-${name}`, acr: 'mfa' })
    done(await browser.post('/v1/login/oidc/finish', { provider: 'corp', response }))
  }

  async team(name: string, ...people: readonly Pick<Asker, 'id'>[]): Promise<string> {
    const { id } = await this.made('/v1/teams', { name })
    await this.made(`/v1/teams/${id}/members`, { add: { identities: people.map((one) => one.id) } })
    return id
  }

  /** A token that this one makes. */
  async token(by: Pick<Asker, 'post'>, name: string, roles: readonly string[], more: object = {}): Promise<Asker> {
    return this.asker(done(await by.post('/v1/tokens', { name, roles, reason: 'tests', ...more })))
  }

  /** Whoever has the text of a token. */
  asker({ id, name, token }: { readonly id: string; readonly name: string; readonly token: string }): Asker {
    return {
      id,
      name,
      text: token,
      get: (path) => this.server.send('GET', path, { token }),
      post: (path, body = {}, headers = {}) => this.server.send('POST', path, { token, body, headers }),
    }
  }

  async stop(): Promise<void> {
    await this.#idp.stop()
    await this.server.stop()
  }
}

/** The body; throws unless the answer is a good one. */
export function done(answer: Answered): Body {
  if (answer.status >= 300) throw new Error(`${answer.status}: ${answer.text}`)
  return answer.body
}

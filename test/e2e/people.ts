/** People who log in at a real OpenID provider, each with a command line of their own, against one server. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Visitor } from '../../src/api/routes/login/testing.ts'
import { TestServer } from '../../src/api/testing.ts'
import { type Outcome, startProgram } from '../cli/process.ts'
import { type OidcLab, startOidc } from '../lab/oidc.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname

export interface SomePerson {
  readonly id: string
  readonly name: string
  readonly browser: Visitor
  /** Runs `rekey` as this person, by a session that their browser made for the command line. */
  rekey(...args: readonly string[]): Promise<Outcome>
}

export class PeopleLab {
  readonly server: TestServer
  readonly #idp: OidcLab
  readonly #folder: string

  private constructor(server: TestServer, idp: OidcLab) {
    this.server = server
    this.#idp = idp
    this.#folder = join(server.folder, 'people')
    mkdirSync(join(this.#folder, 'home'), { recursive: true })
  }

  static async start(): Promise<PeopleLab> {
    const server = await TestServer.start()
    const idp = await startOidc({ redirectUris: [`${server.url}/login/callback/corp`] })
    const { issuer, clientId, clientSecret } = idp
    const secret = Buffer.from(clientSecret).toString('base64')
    const fields = { name: 'corp', issuer, clientId, auth: 'client_secret_basic', secret, acr: { 'urn:lab:mfa': 2 } }
    const added = await server.post('/v1/login/providers', fields)
    if (added.status !== 201) throw new Error(added.text)
    return new PeopleLab(server, idp)
  }

  /** Somebody on record, with these roles, logged in with two factors. */
  async person(name: string, ...roles: readonly string[]): Promise<SomePerson> {
    const { id } = await this.made('/v1/identities', { name, kind: 'human' })
    for (const role of roles)
      await this.made('/v1/role-bindings', { role, kind: 'identity', subject: id, reason: 'for a test', force: true })
    const linked = await this.server.post('/v1/login/links', { identity: name, provider: 'corp', subject: `sub-${name}`, reason: 'test' })
    if (linked.status !== 200) throw new Error(linked.text)
    const browser = new Visitor(this.server)
    await this.login(browser, name)
    const hand = await browser.post('/v1/session/command-line')
    if (hand.status !== 201) throw new Error(hand.text)
    const file = join(this.#folder, `${name}.session`)
    writeFileSync(file, `${hand.body.token}\n`, { mode: 0o600 })
    return { id, name, browser, rekey: (...args) => this.rekey(file, args) }
  }

  async login(browser: Visitor, name: string): Promise<void> {
    const begun = await browser.post('/v1/login/oidc/begin', { provider: 'corp' })
    const response = await this.#idp.visit(begun.body.url, { account: `sub-${name}`, acr: 'urn:lab:mfa' })
    const done = await browser.post('/v1/login/oidc/finish', { provider: 'corp', response })
    if (done.status !== 200) throw new Error(done.text)
  }

  /** As the administrator, who has the first token. */
  async made(path: string, body: unknown) {
    const made = await this.server.post(path, body)
    if (made.status !== 201) throw new Error(made.text)
    return made.body
  }

  async team(name: string, ...people: readonly SomePerson[]): Promise<string> {
    const { id } = await this.made('/v1/teams', { name })
    const joined = await this.server.post(`/v1/teams/${id}/members`, { add: { identities: people.map((one) => one.id) } })
    if (joined.status !== 200) throw new Error(joined.text)
    return id
  }

  folder(name: string, files: Readonly<Record<string, string>>): string {
    const folder = join(this.#folder, name)
    mkdirSync(folder)
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
    return folder
  }

  /** What the identity log says of this kind, oldest first. */
  async events(type: string): Promise<{ subject: string; actor: string; links: Record<string, string>; data: Record<string, unknown> }[]> {
    const rows = await this.server.db.store.query<{ body: never }>(
      "select body::jsonb as body from evidence_event where body::jsonb->>'type' = $1 order by id",
      [type],
    )
    return rows.map(({ body }) => body)
  }

  rekey(tokenFile: string, args: readonly string[]): Promise<Outcome> {
    const { PATH = '' } = process.env
    const env = { PATH, HOME: join(this.#folder, 'home'), REKEY_URL: this.server.url, REKEY_TOKEN_FILE: tokenFile, NO_COLOR: '1' }
    return startProgram([PROGRAM, ...args], this.#folder, env, null).done
  }

  /** As the first token. */
  async admin(...args: readonly string[]): Promise<Outcome> {
    const file = join(this.#folder, 'admin.token')
    writeFileSync(file, this.server.token, { mode: 0o600 })
    return this.rekey(file, args)
  }

  async stop(): Promise<void> {
    await this.#idp.stop()
    await this.server.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** People who log in at a real OpenID provider, each with a command line of their own, against one server. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Visitor } from '../../src/api/routes/login/testing.ts'
import { done, People } from '../../src/api/routes/tokens/testing.ts'
import type { TestServer } from '../../src/api/testing.ts'
import { type Outcome, startProgram } from '../cli/process.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname

export interface SomePerson {
  readonly id: string
  readonly name: string
  readonly browser: Visitor
  /** Runs `rekey` as this person, by a session that their browser made for the command line. */
  rekey(...args: readonly string[]): Promise<Outcome>
}

export class PeopleLab {
  readonly #people: People
  readonly #folder: string

  private constructor(people: People) {
    this.#people = people
    this.#folder = join(people.server.folder, 'people')
    mkdirSync(join(this.#folder, 'home'), { recursive: true })
  }

  static async start(): Promise<PeopleLab> {
    return new PeopleLab(await People.start())
  }

  get server(): TestServer {
    return this.#people.server
  }

  /** Somebody on record, with these roles, logged in with two factors. */
  async person(name: string, ...roles: readonly string[]): Promise<SomePerson> {
    const { id, browser } = await this.#people.person(name, ...roles)
    const hand = done(await browser.post('/v1/session/command-line'))
    const file = join(this.#folder, `${name}.session`)
    writeFileSync(file, `${hand.token}\n`, { mode: 0o600 })
    return { id, name, browser, rekey: (...args) => this.rekey(file, args) }
  }

  team(name: string, ...people: readonly SomePerson[]): Promise<string> {
    return this.#people.team(name, ...people)
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
    await this.#people.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

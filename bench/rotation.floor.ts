import pg from 'pg'
import { generatePassword, scramSha256Verifier } from '../src/seal/index.ts'
import type { LabPostgres } from '../test/lab/postgres.ts'

/** The bare loop: the same calls to the same server with `pg` alone, as one would write them who wants nothing but those calls. */
export class Floor {
  readonly #target: LabPostgres
  readonly #root: pg.Pool
  readonly #values: Map<string, string>
  readonly #atOnce: number

  constructor(target: LabPostgres, values: Map<string, string>, atOnce: number) {
    this.#target = target
    this.#values = values
    this.#atOnce = atOnce
    this.#root = target.superuser.secret.revealText(
      (password) =>
        new pg.Pool({ host: target.host, port: target.port, user: target.superuser.account, password, database: 'postgres', max: atOnce }),
    )
  }

  /** ALTER ROLE with a verifier, a login with the new value, a login with the old one that must be refused. */
  async rotate(account: string): Promise<void> {
    const old = this.#values.get(account) ?? ''
    const fresh = generatePassword()
    const value = fresh.revealText((text) => text)
    await this.#root.query(`alter role ${pg.escapeIdentifier(account)} password '${await scramSha256Verifier(fresh)}'`)
    this.#values.set(account, value)
    if (!(await this.#login(account, value))) throw new Error('the new value is refused')
    if (await this.#login(account, old)) throw new Error('the old value is accepted')
  }

  async #login(user: string, password: string): Promise<boolean> {
    const client = new pg.Client({ host: this.#target.host, port: this.#target.port, database: 'postgres', user, password })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return true
    } catch (error) {
      if ((error as { code?: string }).code === '28P01') return false
      throw error
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async all(accounts: readonly string[]): Promise<void> {
    const queue = [...accounts]
    await Promise.all(
      Array.from({ length: this.#atOnce }, async () => {
        for (let account = queue.pop(); account !== undefined; account = queue.pop()) await this.rotate(account)
      }),
    )
  }

  close(): Promise<void> {
    return this.#root.end()
  }
}

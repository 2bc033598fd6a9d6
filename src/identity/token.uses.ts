import { type Ctx, messageOf } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './token.store.ts'

const WRITE_EVERY_MS = 30_000
const MINUTE_MS = 60_000

/**
 * When tokens were last used, to the minute. Kept in memory and written in batches, so that a request writes nothing; a process that
 * dies forgets at most half a minute of uses.
 */
export class TokenUses {
  readonly #sql: Sql
  readonly #ctx: Ctx
  readonly #timer: NodeJS.Timeout
  #uses = new Map<string, Date>()
  readonly #written = new Map<string, number>()

  constructor(sql: Sql, ctx: Ctx) {
    this.#sql = sql
    this.#ctx = ctx
    this.#timer = setInterval(() => void this.write(), WRITE_EVERY_MS).unref()
  }

  note(tokenId: string): void {
    const now = this.#ctx.clock.now()
    if (this.#written.get(tokenId) !== Math.floor(now.getTime() / MINUTE_MS)) this.#uses.set(tokenId, now)
  }

  /** Writes what was noted. What cannot be written is noted again. */
  async write(): Promise<void> {
    const uses = this.#uses
    if (uses.size === 0) return
    this.#uses = new Map()
    try {
      await rows.markUsed(
        this.#sql,
        [...uses].map(([id, at]) => ({ id, at })),
      )
      this.#written.clear()
      for (const [id, at] of uses) this.#written.set(id, Math.floor(at.getTime() / MINUTE_MS))
    } catch (error) {
      this.#ctx.log.warn({ error: messageOf(error) }, 'uses of tokens could not be written, trying again')
      for (const [id, at] of uses) if (!this.#uses.has(id)) this.#uses.set(id, at)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.write()
  }
}

import type { Secret } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './token.store.ts'

/** Hashes that are kept at most; the one that was met longest ago goes first. */
const KNOWN_MAX = 1_000

/**
 * Tokens that were valid when last met, by their SHA-256. It authenticates nobody: a token that was revoked is known until somebody
 * shows it again. It tells only whose requests to count together, before the database is asked.
 */
export class KnownTokens {
  /** In the order in which they were met. */
  readonly #hashes = new Set<string>()

  /** Takes in the tokens that are valid now, so that their holders are known from their first request on. */
  async load(sql: Sql): Promise<void> {
    for (const hash of await rows.validTokens(sql, KNOWN_MAX)) this.#meet(hash)
  }

  /** A name for the holder's requests, never the token; `null` if the token is not known. */
  nameOf(token: Secret): string | null {
    const hash = sha256Hex(token)
    return this.#hashes.has(hash) ? hash : null
  }

  /** Notes what `authenticate` said of a token. */
  note(token: Secret, valid: boolean): void {
    const hash = sha256Hex(token)
    if (valid) this.#meet(hash)
    else this.#hashes.delete(hash)
  }

  #meet(hash: string): void {
    this.#hashes.delete(hash)
    this.#hashes.add(hash)
    if (this.#hashes.size <= KNOWN_MAX) return
    const [oldest] = this.#hashes
    if (oldest !== undefined) this.#hashes.delete(oldest)
  }
}

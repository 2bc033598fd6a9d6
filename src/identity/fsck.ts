import { type EventBody, eachEvent } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './token.store.ts'

/** What the log keeps of a token: a digest of the stored hash, which is itself one of 256 random bits. */
export function tokenDigest(hashHex: string): string {
  return digestHex(`token ${hashHex}`)
}

function same(told: Json, makers: readonly string[] | null): boolean {
  return JSON.stringify(told) === JSON.stringify(makers)
}

/**
 * Names tokens that no event tells of, and those whose hash or makers are not what was made. A token that is missing or revoked is
 * no finding: it opens nothing. Writes nothing. Throws what the database does.
 */
export async function tokenFindings(sql: Sql): Promise<{ readonly where: string; readonly what: string }[]> {
  const stored = await rows.allTokens(sql)
  const told = new Map<string, EventBody['data']>()
  for await (const { type, links, data } of eachEvent(sql, 'identity')) {
    if ((type === 'token.created' || type === 'token.rotated') && links.token !== undefined) told.set(links.token, data)
  }
  return stored.flatMap(({ id, name, hash, makers }) => {
    const where = `token ${name} ${id}`
    const made = told.get(id)
    if (made === undefined) return [{ where, what: 'The table has it; the log knows nothing of it.' }]
    return [
      ...(made.digest === tokenDigest(hash) ? [] : [{ where, what: 'Its hash is not that of the token that was made.' }]),
      // Events from before makers were kept say nothing of them.
      ...(made.makers === undefined || same(made.makers, makers) ? [] : [{ where, what: 'Those who made it are others by the log.' }]),
    ]
  })
}

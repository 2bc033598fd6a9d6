import { eachEvent } from '../evidence/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './store.ts'

/** What the log keeps of a token: a digest of the stored hash, which is itself one of 256 random bits. */
export function tokenDigest(hashHex: string): string {
  return digestHex(`token ${hashHex}`)
}

/**
 * Names tokens that no event tells of, and those whose role or hash is not the one that was made. A token that is missing or revoked is
 * no finding: it opens nothing. Writes nothing. Throws what the database does.
 */
export async function tokenFindings(sql: Sql): Promise<{ readonly where: string; readonly what: string }[]> {
  const stored = await rows.allTokens(sql)
  const told = new Map<string, { readonly role: unknown; readonly digest: unknown }>()
  for await (const { type, links, data } of eachEvent(sql, 'identity')) {
    if (type === 'token.created' && links.token !== undefined) told.set(links.token, { role: data.role, digest: data.digest })
  }
  return stored.flatMap(({ id, name, role, hash }) => {
    const token = told.get(id)
    const where = `token ${name} ${id}`
    if (token === undefined) return [{ where, what: 'The table has it; the log knows nothing of it.' }]
    if (token.role !== role) return [{ where, what: `Its role is ${token.role} by the log; the table says ${role}.` }]
    return token.digest === tokenDigest(hash) ? [] : [{ where, what: 'Its hash is not that of the token that was made.' }]
  })
}

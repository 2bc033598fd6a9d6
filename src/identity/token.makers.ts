import type { Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'

/**
 * The makers of a token that this principal makes, or whose new text it gets: every identity that stands behind the principal itself.
 * Null if there is none: what the first token makes has nobody on record.
 */
export function makersBy({ identity, actsFor, makers }: Principal): string[] | null {
  const behind = new Set([...(identity === null ? [] : [identity]), ...(actsFor === null ? [] : [actsFor.identity]), ...(makers ?? [])])
  return behind.size === 0 ? null : [...behind].sort()
}

/**
 * Ids of everybody who stands behind an API token: whose it is, for whom it acts, who made it (through tokens made by tokens and across
 * rotations), and the person who owns a program among them. Each once; empty if nobody is on record: the first token, and what that one
 * made for nobody. Of a token that has ended too. Empty for what is no token.
 */
export async function standsBehindToken(sql: Sql, tokenId: string): Promise<string[]> {
  return standBehindTokens(sql, [tokenId])
}

/** The same for several at once. Ids that are of no token are passed over. */
export async function standBehindTokens(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const found = await sql.query<{ id: string }>(
    `with behind as (
       select distinct x.id from api_token t
        cross join lateral (select unnest(t.makers) union select t.identity_id union select t.acts_for_id) x(id)
        where t.id::text = any($1::text[]) and x.id is not null)
     select id from behind
     union
     select i.owner_identity_id from behind b join identity i on i.id = b.id where i.kind <> 'human' and i.owner_identity_id is not null
     order by 1`,
    [ids],
  )
  return found.map(({ id }) => id)
}

import { append } from '../evidence/index.ts'
import { type Ctx, newId, Secret } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import { randomSecret, sha256Hex } from '../seal/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { tokenDigest } from './fsck.ts'
import * as rows from './store.ts'

/** 256 bits: nobody guesses one, so a plain SHA-256 of it may be stored and looked up. */
const TOKEN_BYTES = 32

/**
 * Whose token this is; `null` if nobody's, or if it was revoked. The database is asked each time, so that a revoked token is refused
 * from the next request on. Throws `unavailable` when the database does not answer.
 */
export async function authenticate(sql: Sql, token: Secret): Promise<Principal | null> {
  return rows.principalOf(sql, sha256Hex(token))
}

/**
 * Makes the admin token if there is no unrevoked token; resolves with whether it did. `write` gets the token's text and must put it
 * in place whole, over an older one, before it resolves. Only the hash is stored.
 *
 * The file is written before the commit, under a lock. A crash between the two leaves a file with a token that no database knows, and
 * the next start makes a new one and replaces the file. The other order could leave a stored token that nobody has ever seen, and no
 * start would make another: the operator would be locked out. To get a new token for a lost one, revoke the lost one's row.
 */
export async function ensureAdminToken(store: Store, ctx: Ctx, write: (token: string) => Promise<void>): Promise<boolean> {
  return store.inTx(async (tx) => {
    await rows.lockTokens(tx)
    if (await rows.hasToken(tx)) return false
    const text = randomSecret(TOKEN_BYTES).reveal((bytes) => `rekey_${Buffer.from(bytes).toString('base64url')}`)
    await write(text)
    const id = newId(ctx.clock.now().getTime())
    const hash = sha256Hex(Secret.fromText(text))
    await rows.addToken(tx, id, 'admin', 'admin', hash)
    const data = { role: 'admin', digest: tokenDigest(hash) }
    await append(tx, ctx, [{ log: 'identity', type: 'token.created', subject: 'admin', links: { token: id }, data }])
    return true
  })
}

import type { Ctx } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Store } from '../store/index.ts'
import type { IssuerKeys } from './issuer.keys.ts'
import type { TokenUses } from './token.uses.ts'
import { proofOf } from './tokens.ts'
import type { Presented } from './workload.dpop.ts'
import { authenticateWorkload } from './workload.ts'

/** What every request with a token needs. Made once for a server. */
export interface BearerParts {
  readonly store: Store
  readonly keys: IssuerKeys
  readonly uses: TokenUses
}

/**
 * Who presents a token: an API token (`rekey_…`), or a signed token of a trusted issuer. Null for nobody, whatever the reason: unknown,
 * ended, revoked, forged, shown twice. Throws `unavailable` when the database does not answer.
 */
export async function authenticateBearer(parts: BearerParts, ctx: Ctx, presented: Presented): Promise<Principal | null> {
  const { token, scheme } = presented
  if (!token.revealText((text) => text.startsWith('rekey_'))) return authenticateWorkload(parts.store, ctx, parts.keys, presented)
  const proof = scheme === 'bearer' ? await proofOf(parts.store, ctx, token) : null
  if (proof === null) return null
  parts.uses.note(proof.tokenId)
  return proof.principal
}

/**
 * The same for one that was accepted before, while an answer to it is still being given: null once it was revoked, has ended or is too
 * old, or once who stands behind it is not active. A signed token that counts once is not used up again.
 */
export async function authenticateAgain(parts: BearerParts, ctx: Ctx, presented: Presented): Promise<Principal | null> {
  const { token } = presented
  if (token.revealText((text) => text.startsWith('rekey_'))) return (await proofOf(parts.store, ctx, token))?.principal ?? null
  return authenticateWorkload(parts.store, ctx, parts.keys, presented, 'again')
}

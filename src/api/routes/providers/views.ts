import { z } from 'zod'
import type { NewToken } from '../../../identity/scim/index.ts'

/** A token in the clear: the only time that it is shown, so no `Idempotency-Key` keeps the answer. */
export const Token = z
  .object({
    provider: z.string(),
    token: z.string().describe('Shown once. A lost one is replaced by a rotation.'),
    oldTokenEndsAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ScimToken' })

export function tokenView({ provider, token, oldTokenEndsAt }: NewToken): z.output<typeof Token> {
  return { provider, token: token.revealText((text) => text), oldTokenEndsAt: oldTokenEndsAt?.toISOString() ?? null }
}

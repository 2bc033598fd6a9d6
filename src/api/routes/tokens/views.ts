import { z } from 'zod'
import { type MadeToken, TOKEN_NAME_CHARS, type TokenView } from '../../../identity/index.ts'
import { ActionName } from '../../../policy/index.ts'
import { Name, text } from '../../views.ts'

export const TokenName = text(TOKEN_NAME_CHARS)
export const Scope = z.array(ActionName).min(1).max(200).describe('Actions that it is limited to.')
export const Environments = z.array(Name).min(1).max(50).describe('Environments that it is limited to.')
const Somebody = z.object({ id: z.string(), name: z.string().nullable() }).nullable()
const MaybeTime = z.iso.datetime().nullable()

/** A token in the clear: the only time that it is shown, so no `Idempotency-Key` keeps the answer. */
export const NewToken = z
  .object({
    id: z.string(),
    name: z.string(),
    token: z.string().describe('Shown once. A lost one is replaced by a rotation.'),
    expiresAt: MaybeTime,
    oldEndsAt: MaybeTime.describe('Until when the text that it takes the place of stays good.'),
  })
  .meta({ id: 'NewApiToken' })

export const Token = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(['active', 'suspended', 'expired', 'revoked']).describe('suspended: its identity, or who made it, is not active.'),
    identity: Somebody,
    actsFor: Somebody.describe('Of an agent: for whom it acts.'),
    makers: z
      .array(z.object({ id: z.string(), name: z.string().nullable() }))
      .nullable()
      .describe('Who stands behind it since they made it. Empty: the first token. Null: nobody is on record.'),
    roles: z.array(z.string()),
    followsIdentity: z.boolean().describe('It holds what its identity holds at the moment.'),
    scope: z.array(z.string()).nullable(),
    environments: z.array(z.string()).nullable(),
    createdAt: z.iso.datetime(),
    createdBy: z.string(),
    expiresAt: MaybeTime,
    lastUsedAt: MaybeTime.describe('To the minute, and up to a minute late.'),
    revokedAt: MaybeTime,
    revokeReason: z.string().nullable(),
    replacedBy: z.string().nullable(),
    provenDeadAt: MaybeTime.describe('When the server tried it after its end, and it was refused.'),
  })
  .meta({ id: 'ApiToken' })

const iso = (at: Date | null) => at?.toISOString() ?? null

export function newTokenView({ token, expiresAt, oldEndsAt, ...rest }: MadeToken): z.output<typeof NewToken> {
  return { ...rest, token: token.revealText((shown) => shown), expiresAt: iso(expiresAt), oldEndsAt: iso(oldEndsAt) }
}

export function tokenView(one: TokenView): z.output<typeof Token> {
  return {
    ...one,
    makers: one.makers === null ? null : [...one.makers],
    roles: [...one.roles],
    scope: one.scope === null ? null : [...one.scope],
    environments: one.environments === null ? null : [...one.environments],
    createdAt: one.createdAt.toISOString(),
    expiresAt: iso(one.expiresAt),
    lastUsedAt: iso(one.lastUsedAt),
    revokedAt: iso(one.revokedAt),
    provenDeadAt: iso(one.provenDeadAt),
  }
}

import { z } from 'zod'
import type { UsableView } from '../../../credential/index.ts'
import { IDENTITY_STATUSES } from '../../../identity/index.ts'

const Time = z.iso.datetime()
export const UsableState = z.enum(['staged', 'current', 'previous', 'irrevocable', 'unprovable'])

/** A version of a credential, or an API token, that could authenticate right now. */
export const Usable = z
  .object({
    kind: z.enum(['version', 'token']).describe('token: an API token of Rekey itself, of the system rekey.'),
    version: z.string().describe('Id of the version, or of the token.'),
    credential: z.string(),
    number: z.int().nullable().describe('Null for a token.'),
    system: z.string(),
    account: z.string(),
    identity: z.string().nullable().describe('Null for the root credential of a system, and for a token of nobody.'),
    identityStatus: z.enum(IDENTITY_STATUSES).nullable(),
    owner: z.string().nullable(),
    root: z.boolean(),
    state: z.enum(['staged', 'current', 'previous', 'dead', 'void', 'unprovable', 'irrevocable']),
    valueHeld: z.boolean(),
    since: Time,
    ageDays: z.int(),
    lastProbe: z.object({ outcome: z.enum(['accepted', 'refused', 'unreachable', 'inconclusive']), code: z.string(), at: Time }).nullable(),
    unknownSince: Time.nullable().describe('Since a rotation may have changed what the last probe saw.'),
    lastUsedAt: Time.nullable().describe('Of a token, to the minute; of versions nobody knows.'),
    expiresAt: Time.nullable().describe('Of a token.'),
  })
  .meta({ id: 'Usable' }) satisfies z.ZodType<UsableView>

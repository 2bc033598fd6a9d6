import { z } from 'zod'
import type { UsableView } from '../../../credential/index.ts'
import { IDENTITY_STATUSES } from '../../../identity/index.ts'

const Time = z.iso.datetime()
export const UsableState = z.enum(['staged', 'current', 'previous', 'irrevocable', 'unprovable'])

/** A version that could authenticate right now. */
export const Usable = z
  .object({
    version: z.string(),
    credential: z.string(),
    number: z.int(),
    system: z.string(),
    account: z.string(),
    identity: z.string().nullable().describe('Null for the root credential of a system.'),
    identityStatus: z.enum(IDENTITY_STATUSES).nullable(),
    owner: z.string().nullable(),
    root: z.boolean(),
    state: z.enum(['staged', 'current', 'previous', 'dead', 'void', 'unprovable', 'irrevocable']),
    valueHeld: z.boolean(),
    since: Time,
    ageDays: z.int(),
    lastProbe: z.object({ outcome: z.enum(['accepted', 'refused', 'unreachable', 'inconclusive']), code: z.string(), at: Time }).nullable(),
    unknownSince: Time.nullable().describe('Since a rotation may have changed what the last probe saw.'),
  })
  .meta({ id: 'Usable' }) satisfies z.ZodType<UsableView>

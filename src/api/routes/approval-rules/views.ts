import { z } from 'zod'

const Factor = z.object({ team: z.string(), count: z.int(), aal: z.int(), passkey: z.boolean() })

export const ApprovalRule = z
  .object({
    action: z.string(),
    factors: z.array(Factor).nullable().describe('Null: they cannot be read, and the action is refused until they are set again.'),
    expiresSeconds: z.int(),
    changedAt: z.iso.datetime(),
    changedBy: z.string(),
    reason: z.string(),
  })
  .meta({ id: 'ApprovalRule' })

import { z } from 'zod'
import { CHANNEL_KINDS } from '../../../identity/index.ts'

const Time = z.iso.datetime()

export const Channel = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.enum(CHANNEL_KINDS),
    settings: z.record(z.string(), z.unknown()).describe('Without its secret.'),
    createdAt: Time,
    createdBy: z.string(),
  })
  .meta({ id: 'NotifyChannel' })

export const Delivery = z
  .object({
    id: z.string().describe('The delivery id: it stays the same when the notice is sent again.'),
    channel: z.string(),
    event: z.string(),
    approval: z.string().nullable(),
    identity: z.string().nullable(),
    identityName: z.string().nullable(),
    state: z.enum(['waiting', 'sent', 'failed', 'dropped']),
    attempts: z.int(),
    fault: z.string().nullable(),
    createdAt: Time,
    sentAt: Time.nullable(),
  })
  .meta({ id: 'NotifyDelivery' })

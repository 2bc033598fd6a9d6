import { z } from 'zod'
import { ON_MISSED, type ReviewView } from '../../../credential/index.ts'

const Time = z.iso.datetime()

/** A look that somebody must take in time. */
export const Review = z
  .object({
    review: z.string(),
    credential: z.string(),
    system: z.string(),
    why: z.enum(['shared_account', 'vendor_managed', 'static_key', 'break_glass']),
    exception: z.string().nullable(),
    dueAt: Time,
    onMissed: z.enum(ON_MISSED),
    missedAt: Time.nullable(),
    doneAt: Time.nullable(),
    doneBy: z.string().nullable(),
    outcome: z.enum(['keep', 'end']).nullable(),
    note: z.string().nullable(),
  })
  .meta({ id: 'Review' }) satisfies z.ZodType<ReviewView>

import { z } from 'zod'
import { EXCEPTION_KINDS, type ExceptionView, ON_MISSED } from '../../../credential/index.ts'
import { Human } from '../closures/views.ts'

const Time = z.iso.datetime()

/** An exception on record. */
export const Exception = z
  .object({
    exception: z.string(),
    kind: z.enum(EXCEPTION_KINDS),
    credential: z.string(),
    system: z.string(),
    users: z.array(z.string()),
    owner: Human,
    reason: z.string(),
    waitsFor: z.string(),
    endsAt: Time,
    past: z.boolean(),
    reviewEverySeconds: z.int(),
    onMissed: z.enum(ON_MISSED),
    createdBy: z.string(),
    createdAt: Time,
    closedAt: Time.nullable(),
    closedReason: z.string().nullable(),
  })
  .meta({ id: 'Exception' }) satisfies z.ZodType<ExceptionView>

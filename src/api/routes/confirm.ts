import { z } from 'zod'
import { Name, Reason } from '../views.ts'

/** What the routes have in common by which somebody answers for what a leaver made. */
export const CONFIRM = {
  method: 'POST',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'Confirmed', schema: z.object({ name: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
} as const

/** The summary of one: `what` it is about, in words. */
export const confirms = (what: string) => `Answers for ${what}, as it is, in place of who made it and has left.`

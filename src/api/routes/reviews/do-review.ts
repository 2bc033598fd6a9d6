import { z } from 'zod'
import { doReview } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { Review } from './views.ts'

export const doReviewRoute = route({
  method: 'POST',
  path: '/v1/reviews/:id/done',
  summary: 'A review is done: the credential is kept (and given back if it was stopped for want of the review), or is to be ended.',
  action: 'review:decide',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ outcome: z.enum(['keep', 'end']), note: Reason }),
  answers: { 200: { what: 'As it is now', schema: Review } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({ status: 200, body: await doReview(parts, ctx, may, params.id, body) }),
})

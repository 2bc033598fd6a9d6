import { z } from 'zod'
import { listReviews } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Review } from './views.ts'

export const listReviewsRoute = route({
  method: 'GET',
  path: '/v1/reviews',
  summary: 'Reviews of shared, vendor, static and break-glass credentials, in the order in which they were opened. A page may be short.',
  action: 'review:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    all: z.enum(['true', 'false']).optional().describe('true: also those that are done.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Review) } },
  problems: [],
  handle: async ({ parts, may, query: { after, limit, all } }) => ({
    status: 200,
    body: await listReviews(parts.store, may, { after, limit, all: all === 'true' }),
  }),
})

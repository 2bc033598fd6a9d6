import { z } from 'zod'
import { listExceptions } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Exception } from './views.ts'

export const listExceptionsRoute = route({
  method: 'GET',
  path: '/v1/exceptions',
  summary:
    'Credentials that are not as they should be, and what each waits for, in the order in which they were declared. A page may be short.',
  action: 'exception:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    all: z.enum(['true', 'false']).optional().describe('true: also those that ended.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Exception) } },
  problems: [],
  handle: async ({ parts, may, query: { after, limit, all } }) => ({
    status: 200,
    body: await listExceptions(parts.store, may, { after, limit, all: all === 'true' }),
  }),
})

import { z } from 'zod'
import { listExceptions } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { cut, Id, pageOf, pageQuery } from '../../views.ts'
import { Exception } from './views.ts'

export const listExceptionsRoute = route({
  method: 'GET',
  path: '/v1/exceptions',
  summary: 'Credentials that are not as they should be, and what each waits for, in the order in which they were declared.',
  action: 'exception:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    all: z.enum(['true', 'false']).optional().describe('true: also those that ended.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Exception) } },
  problems: [],
  handle: async ({ parts, query: { after, limit, all } }) => {
    const found = await listExceptions(parts.store, { after, limit: limit + 1, all: all === 'true' })
    return { status: 200, body: cut(found, limit, ({ exception }) => exception) }
  },
})

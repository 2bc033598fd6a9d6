import { z } from 'zod'
import { listClosures } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Closure } from './views.ts'

export const listClosuresRoute = route({
  method: 'GET',
  path: '/v1/closures',
  summary: 'What becomes of the credentials of identities that are suspended or left, newest first. A page may be short.',
  action: 'closure:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    identity: Id.optional(),
    open: z.enum(['true', 'false']).optional().describe('true: only those that have not ended.'),
    waiting: z.enum(['true', 'false']).optional().describe('true: only those in which something waits for a human.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Closure) } },
  problems: [],
  handle: async ({ parts, may, query: { open, waiting, ...query } }) => ({
    status: 200,
    body: await listClosures(parts.store, may, { ...query, open: open === 'true', waiting: waiting === 'true' }),
  }),
})

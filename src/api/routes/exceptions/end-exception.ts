import { z } from 'zod'
import { endException } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { Exception } from './views.ts'

export const endExceptionRoute = route({
  method: 'POST',
  path: '/v1/exceptions/:id/close',
  summary: 'Ends an exception, and the reviews that it asked for.',
  action: 'exception:end',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'As it is now', schema: Exception } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({ status: 200, body: await endException(parts, ctx, may, params.id, body.reason) }),
})

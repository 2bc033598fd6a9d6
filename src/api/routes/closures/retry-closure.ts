import { z } from 'zod'
import { closureById, retryClosure } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Name } from '../../views.ts'
import { Closure } from './views.ts'

export const retryClosureRoute = route({
  method: 'POST',
  path: '/v1/closures/:id/retry',
  summary: 'Lets what waits for a human go on: all of it, or one credential. What was never touched is decided anew.',
  action: 'closure:retry',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ credential: Name.optional() }).optional(),
  answers: { 202: { what: 'It goes on', schema: Closure } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await retryClosure(parts, ctx, may, params.id, body?.credential ?? null)
    return { status: 202, body: await closureById(parts.store, may, params.id) }
  },
})

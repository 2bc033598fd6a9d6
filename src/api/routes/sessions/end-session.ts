import { z } from 'zod'
import { endSession } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'

export const endSessionRoute = route({
  method: 'POST',
  path: '/v1/sessions/:id/end',
  summary: 'Ends a session at once: from the next request on nobody is logged in by it.',
  action: 'session:end',
  params: z.strictObject({ id: Id }),
  answers: { 200: { what: 'It is over', schema: z.object({ session: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => {
    await endSession(parts.store, ctx, may, params.id, 'ended by hand')
    return { status: 200, body: { session: params.id } }
  },
})

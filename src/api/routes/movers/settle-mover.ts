import { z } from 'zod'
import { settleMover } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const settleMoverRoute = route({
  method: 'POST',
  path: '/v1/movers/:mover/settle',
  summary: 'Says that what a mover left behind is done.',
  action: 'finding:resolve',
  params: z.strictObject({ mover: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'It is off the list', schema: z.object({ id: z.string() }) } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, params, body }) => {
    await settleMover(parts, ctx, may, params.mover, body.reason)
    return { status: 200, body: { id: params.mover } }
  },
})

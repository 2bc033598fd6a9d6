import { z } from 'zod'
import { confirmChannel } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const confirmChannelRoute = route({
  method: 'POST',
  path: '/v1/notify/channels/:name/confirm',
  summary: 'Answers for the channel, as they are, in place of who made them and has left.',
  action: 'notify:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'Confirmed', schema: z.object({ name: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await confirmChannel(parts.store, ctx, may, params.name, body.reason)
    return { status: 200, body: { name: params.name } }
  },
})

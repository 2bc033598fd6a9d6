import { z } from 'zod'
import { testChannel } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const testChannelRoute = route({
  method: 'POST',
  path: '/v1/notify/channels/:name/test',
  summary: "Sends a test through a channel, now: to the webhook, or to the mail server's sender.",
  action: 'notify:configure',
  params: z.strictObject({ name: Name }),
  answers: {
    200: {
      what: 'What came of it',
      schema: z.object({ sent: z.boolean(), fault: z.string().nullable().describe('Why it was not sent.') }),
    },
  },
  problems: ['not_found', 'kek_unavailable'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => {
    const fault = await testChannel(parts, ctx, may, params.name)
    return { status: 200, body: { sent: fault === null, fault } }
  },
})

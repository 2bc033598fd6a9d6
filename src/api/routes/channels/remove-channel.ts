import { z } from 'zod'
import { removeChannel } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const removeChannelRoute = route({
  method: 'POST',
  path: '/v1/notify/channels/:name/remove',
  summary: 'Removes a channel: its secret is destroyed, and notices that wait for it are dropped.',
  action: 'notify:configure',
  params: z.strictObject({ name: Name }),
  answers: { 204: { what: 'It is gone', schema: null } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => {
    await removeChannel(parts, ctx, may, params.name)
    return { status: 204 }
  },
})

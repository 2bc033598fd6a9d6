import { confirmChannel } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { CONFIRM, confirms } from '../confirm.ts'

export const confirmChannelRoute = route({
  ...CONFIRM,
  path: '/v1/notify/channels/:name/confirm',
  summary: confirms('the channel'),
  action: 'notify:configure',
  handle: async ({ parts, ctx, may, principal, params: { name }, body }) => {
    await confirmChannel(parts.store, ctx, may, { by: principal, name, reason: body.reason })
    return { status: 200, body: { name } }
  },
})

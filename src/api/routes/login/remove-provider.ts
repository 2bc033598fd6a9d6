import { z } from 'zod'
import { removeLoginProvider } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const removeLoginProviderRoute = route({
  method: 'POST',
  path: '/v1/login/providers/:name/remove',
  summary: 'Takes a provider away and ends every session that began with it.',
  action: 'login:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: {
    200: {
      what: 'Nobody logs in by it any more',
      schema: z.object({ provider: z.string(), sessionsEnded: z.int(), passkeysLeft: z.int() }),
    },
  },
  problems: ['not_found', 'wrong_state', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const done = await removeLoginProvider(parts, ctx, may, principal, { name: params.name, reason: body.reason })
    return { status: 200, body: { provider: params.name, ...done } }
  },
})

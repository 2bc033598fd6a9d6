import { z } from 'zod'
import { confirmLoginProvider } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const confirmLoginProviderRoute = route({
  method: 'POST',
  path: '/v1/login/providers/:name/confirm',
  summary: 'Answers for the login provider and its links, as they are, in place of who made them and has left.',
  action: 'login:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'Confirmed', schema: z.object({ name: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await confirmLoginProvider(parts.store, ctx, may, params.name, body.reason)
    return { status: 200, body: { name: params.name } }
  },
})

import { z } from 'zod'
import { removeLoginProvider } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const removeLoginProviderRoute = route({
  method: 'POST',
  path: '/v1/login/providers/:name/remove',
  summary: 'Takes a provider away and ends every session that began with it.',
  action: 'login:configure',
  params: z.strictObject({ name: Name }),
  answers: { 200: { what: 'Nobody logs in by it any more', schema: z.object({ provider: z.string(), sessionsEnded: z.int() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => ({
    status: 200,
    body: { provider: params.name, sessionsEnded: await removeLoginProvider(parts, ctx, may, params.name) },
  }),
})

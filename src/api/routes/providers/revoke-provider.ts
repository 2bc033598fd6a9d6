import { z } from 'zod'
import { revokeProvider } from '../../../identity/scim/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const revokeProviderRoute = route({
  method: 'POST',
  path: '/v1/scim/providers/:name/revoke',
  summary: 'Revokes every token of an identity provider at once. What it pushed stays.',
  action: 'scim:configure',
  params: z.strictObject({ name: Name }),
  answers: { 200: { what: 'No token of it is good any more', schema: z.object({ provider: z.string(), revoked: z.int() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => ({
    status: 200,
    body: { provider: params.name, revoked: await revokeProvider(parts.store, ctx, may, params.name) },
  }),
})

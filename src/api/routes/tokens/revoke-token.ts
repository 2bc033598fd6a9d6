import { z } from 'zod'
import { revokeToken } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const revokeTokenRoute = route({
  method: 'POST',
  path: '/v1/tokens/:token/revoke',
  summary: 'Revokes an API token by its id, or all of a name, from the next request on at every server.',
  action: 'token:revoke',
  params: z.strictObject({ token: Name }),
  body: z.strictObject({
    reason: Reason,
    force: z.boolean().default(false).describe('Although it is the last way in. No start makes another one then.'),
  }),
  answers: { 200: { what: 'They are refused from now on', schema: z.object({ revoked: z.array(z.string()) }) } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({
    status: 200,
    body: { revoked: await revokeToken(parts, ctx, may, { ...params, ...body }) },
  }),
})

import { z } from 'zod'
import { endCredential } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Closure } from '../closures/views.ts'

export const endCredentialRoute = route({
  method: 'POST',
  path: '/v1/credentials/:name/end',
  summary: 'Ends one credential of an identity that was offboarded, for whoever still uses it: suspended, destroyed and proven dead.',
  action: 'closure:resolve',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 202: { what: 'Its closure', schema: Closure } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({
    status: 202,
    body: await endCredential(parts, ctx, may, params.name, body.reason),
  }),
})

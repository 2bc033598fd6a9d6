import { z } from 'zod'
import { removePasskey } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'

export const removePasskeyRoute = route({
  method: 'POST',
  path: '/v1/passkeys/:id/remove',
  summary: 'Removes a passkey and ends the sessions that began with it; never the last way in of the last administrator.',
  action: 'passkey:remove',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'It proves nothing any more', schema: z.object({ passkey: z.string() }) } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    await removePasskey(parts, ctx, may, principal, params.id, body.reason)
    return { status: 200, body: { passkey: params.id } }
  },
})

import { z } from 'zod'
import { unbindRole } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'

export const unbindRoleRoute = route({
  method: 'POST',
  path: '/v1/role-bindings/:id/unbind',
  summary: 'Takes a role away.',
  action: 'role:unbind',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({
    reason: Reason,
    force: z
      .boolean()
      .default(false)
      .describe('Although somebody then goes on holding directory rights and credential rights without a role that was meant for both.'),
  }),
  answers: { 200: { what: 'It is gone', schema: z.object({ id: z.string() }) } },
  problems: ['not_found', 'wrong_state'],
  handle: async ({ parts, ctx, may, params, body }) => {
    await unbindRole(parts.store, ctx, may, parts.policies.set, params.id, body)
    return { status: 200, body: { id: params.id } }
  },
})

import { z } from 'zod'
import { moveStatusByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Force, fullView, IdentityFull } from './views.ts'

export const offboardIdentityRoute = route({
  method: 'POST',
  path: '/v1/identities/:identity/offboard',
  summary: 'Ends an identity for good; what a person owned is handed over.',
  action: 'identity:offboard',
  params: z.strictObject({ identity: Name }),
  body: z.strictObject({ reason: Reason, force: Force }),
  answers: { 200: { what: 'As it is now', schema: IdentityFull } },
  problems: ['not_found', 'wrong_state', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: fullView(await moveStatusByHand(parts, ctx, may, principal, params.identity, body)),
  }),
})

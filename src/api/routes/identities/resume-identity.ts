import { z } from 'zod'
import { moveStatusByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { fullView, IdentityFull } from './views.ts'

export const resumeIdentityRoute = route({
  method: 'POST',
  path: '/v1/identities/:identity/resume',
  summary: 'Takes a suspension back.',
  action: 'identity:resume',
  params: z.strictObject({ identity: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'As it is now', schema: IdentityFull } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: fullView(await moveStatusByHand(parts, ctx, may, principal, params.identity, { ...body, force: false })),
  }),
})

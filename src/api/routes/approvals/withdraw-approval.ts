import { z } from 'zod'
import { withdrawByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { ApprovalFull, approvalView } from './views.ts'

export const withdrawApprovalRoute = route({
  method: 'POST',
  path: '/v1/approvals/:id/withdraw',
  summary: 'Takes your own request back.',
  action: 'approval:withdraw',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'As it stands now', schema: ApprovalFull } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: approvalView(await withdrawByHand(parts, ctx, may, principal, params.id, body.reason)),
  }),
})

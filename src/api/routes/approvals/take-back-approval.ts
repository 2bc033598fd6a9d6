import { z } from 'zod'
import { takeBackByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { ApprovalFull, approvalView } from './views.ts'

export const takeBackApprovalRoute = route({
  method: 'POST',
  path: '/v1/approvals/:id/take-back',
  summary: 'Takes your own approval back, as long as the request is open.',
  action: 'approval:decide',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'As it stands now', schema: ApprovalFull } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: approvalView(await takeBackByHand(parts, ctx, may, principal, params.id, body.reason)),
  }),
})

import { z } from 'zod'
import { decideByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { ApprovalFull, approvalView, Digest } from './views.ts'

export const approveApprovalRoute = route({
  method: 'POST',
  path: '/v1/approvals/:id/approve',
  summary: 'Approves exactly what the digest stands for.',
  action: 'approval:decide',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({
    digest: Digest.describe('Of what you have read.'),
    reason: Reason,
    proof: Id.nullable().default(null).describe('Of a step-up that confirmed `approval:decide` on `approve:ID` and this digest.'),
  }),
  answers: { 200: { what: 'As it stands now', schema: ApprovalFull } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, session, params, body }) => ({
    status: 200,
    body: approvalView(
      await decideByHand(parts, ctx, may, principal, params.id, {
        decision: 'approve',
        ...body,
        session: session?.session ?? null,
      }),
    ),
  }),
})

import { z } from 'zod'
import { APPROVAL_LIMITS, bypassByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { ApprovalFull, approvalView, Digest } from './views.ts'

const TOO_SHORT = `The reason of a bypass has at least ${APPROVAL_LIMITS.bypassReasonChars} characters.`

export const bypassApprovalRoute = route({
  method: 'POST',
  path: '/v1/approvals/:id/bypass',
  summary: 'Lets a request through without the approvals, with a reason. Everybody who was skipped is told.',
  action: 'approval:bypass',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({
    digest: Digest.describe('Of what you have read.'),
    reason: Reason.min(APPROVAL_LIMITS.bypassReasonChars, TOO_SHORT),
  }),
  answers: { 200: { what: 'As it stands now', schema: ApprovalFull } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: approvalView(await bypassByHand(parts, ctx, may, principal, params.id, body)),
  }),
})

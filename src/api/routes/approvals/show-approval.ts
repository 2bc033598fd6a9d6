import { z } from 'zod'
import { readApproval } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { ApprovalFull, approvalView } from './views.ts'

export const showApprovalRoute = route({
  method: 'GET',
  path: '/v1/approvals/:id',
  summary: 'One request: exactly what is approved, in words and as data, who may decide and who did.',
  action: 'approval:read',
  params: z.strictObject({ id: Id }),
  answers: { 200: { what: 'The request', schema: ApprovalFull } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, principal, params }) => ({
    status: 200,
    body: approvalView(await readApproval(parts, ctx, may, principal, params.id)),
  }),
})

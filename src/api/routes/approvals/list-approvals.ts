import { z } from 'zod'
import { APPROVAL_VIEWS, readApprovals } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Approval } from './views.ts'

export const listApprovalsRoute = route({
  method: 'GET',
  path: '/v1/approvals',
  summary: 'Requests for approval, newest first: those you asked for or were asked about, or only those that wait for your decision.',
  action: 'approval:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    of: z.enum(APPROVAL_VIEWS).default('mine').describe('`mine`: both. `decide`: those that wait for you. `all`: what you may read.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Approval) } },
  problems: [],
  handle: async ({ parts, ctx, may, principal, query }) => ({
    status: 200,
    body: await readApprovals(parts, ctx, may, principal, { ...query, after: query.after ?? null }),
  }),
})

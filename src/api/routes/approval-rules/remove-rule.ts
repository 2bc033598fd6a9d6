import { z } from 'zod'
import { removeRule } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const removeRuleRoute = route({
  method: 'POST',
  path: '/v1/approval-rules/:action/remove',
  summary: 'Takes the rule of an action away: it needs no approval then.',
  action: 'approval:configure',
  params: z.strictObject({ action: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 204: { what: 'It is gone', schema: null } },
  problems: ['not_found', 'approval_required', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    await removeRule(parts.store, ctx, may, principal, params.action, body.reason)
    return { status: 204 }
  },
})

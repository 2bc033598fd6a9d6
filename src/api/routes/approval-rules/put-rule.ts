import { z } from 'zod'
import { APPROVAL_LIMITS, putRule } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Name, Reason } from '../../views.ts'
import { ApprovalRule } from './views.ts'

const Factor = z.strictObject({
  team: Id.describe('Immutable id of a team; people of nested teams count.'),
  count: z
    .int()
    .min(1, 'A factor asks for at least one person.')
    .max(APPROVAL_LIMITS.count, `A factor asks for at most ${APPROVAL_LIMITS.count} people.`),
  aal: z.int().min(1).max(3).default(2),
  passkey: z.boolean().default(false),
})

export const putRuleRoute = route({
  method: 'POST',
  path: '/v1/approval-rules',
  summary:
    'Says who must approve an action: every factor, by so many distinct people each. The rule for approval:configure guards the rules.',
  action: 'approval:configure',
  body: z.strictObject({
    action: Name,
    factors: z.array(Factor).min(1).max(APPROVAL_LIMITS.factors),
    expiresSeconds: z.int().min(APPROVAL_LIMITS.expiresSecondsMin).max(APPROVAL_LIMITS.expiresSecondsMax).default(86_400),
    reason: Reason,
  }),
  answers: { 200: { what: 'It is in force', schema: ApprovalRule } },
  problems: ['approval_required', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    const rule = await putRule(parts.store, ctx, may, principal, body)
    return { status: 200, body: { ...rule, changedAt: rule.changedAt.toISOString() } }
  },
})

import { z } from 'zod'
import { listRules } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { pageOf } from '../../views.ts'
import { ApprovalRule } from './views.ts'

export const listRulesRoute = route({
  method: 'GET',
  path: '/v1/approval-rules',
  summary: 'Which actions must be approved, and by whom. An action without a rule needs no approval.',
  action: 'policy:read',
  query: z.strictObject({}),
  answers: { 200: { what: 'All of them', schema: pageOf(ApprovalRule) } },
  problems: [],
  handle: async ({ parts }) => {
    const rules = await listRules(parts.store)
    return { status: 200, body: { items: rules.map((rule) => ({ ...rule, changedAt: rule.changedAt.toISOString() })), next: null } }
  },
})

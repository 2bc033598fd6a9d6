import { z } from 'zod'
import { listRules } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'
import { ApprovalRule } from './views.ts'

export const listRulesRoute = route({
  method: 'GET',
  path: '/v1/approval-rules',
  summary: 'Which actions must be approved, and by whom. An action without a rule needs no approval.',
  action: 'policy:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(ApprovalRule) } },
  problems: [],
  handle: async ({ parts, query }) => {
    const rules = (await listRules(parts.store)).map((rule) => ({ ...rule, changedAt: rule.changedAt.toISOString() }))
    return { status: 200, body: slicePage(rules, query, ({ action }) => action) }
  },
})

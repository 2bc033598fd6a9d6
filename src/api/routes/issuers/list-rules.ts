import { z } from 'zod'
import { readRules } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, Name, pageOf, pageQuery } from '../../views.ts'
import { Rule, ruleView } from './views.ts'

export const listRulesRoute = route({
  method: 'GET',
  path: '/v1/issuers/:name/rules',
  summary: 'Which claims of an issuer stand for which identity, oldest first.',
  action: 'issuer:read',
  params: z.strictObject({ name: Name }),
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Rule) } },
  problems: ['not_found'],
  handle: async ({ parts, may, params, query }) => {
    const found = await readRules(parts.store, may, params.name, { after: query.after ?? null, limit: query.limit + 1 })
    return { status: 200, body: cut(found.map(ruleView), query.limit, ({ id }) => id) }
  },
})

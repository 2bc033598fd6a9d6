import { z } from 'zod'
import { listPolicySets } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, pageOf, pageQuery } from '../../views.ts'
import { named, PolicySetView } from './schemas.ts'

export const listPoliciesRoute = route({
  method: 'GET',
  path: '/v1/policies',
  summary: 'Sets of policies that are proposed, in force or replaced, newest first, without their texts.',
  action: 'policy:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(PolicySetView) } },
  problems: [],
  handle: async ({ parts, query }) => {
    const found = await listPolicySets(parts.store, query.after ?? null, query.limit + 1)
    const { items, next } = cut(found, query.limit, (last) => last.id)
    return { status: 200, body: { items: await Promise.all(items.map((each) => named(parts, each))), next } }
  },
})

import { z } from 'zod'
import { listBindings } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, pageOf, pageQuery } from '../../views.ts'
import { Binding } from './schemas.ts'

export const listBindingsRoute = route({
  method: 'GET',
  path: '/v1/role-bindings',
  summary: 'Who holds which role, oldest first.',
  action: 'role:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Binding) } },
  problems: [],
  handle: async ({ parts, query }) => {
    const found = await listBindings(parts.store, query.after ?? null, query.limit + 1)
    return { status: 200, body: cut(found, query.limit, (last) => last.id) }
  },
})

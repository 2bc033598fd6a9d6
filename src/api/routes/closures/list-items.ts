import { z } from 'zod'
import { closureById, closureItems } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { ClosureItem } from './views.ts'

export const listItemsRoute = route({
  method: 'GET',
  path: '/v1/closures/:id/credentials',
  summary: 'The credentials of a closure, by name: how each is ended, how far it is, and who has what Rekey cannot end.',
  action: 'closure:read',
  params: z.strictObject({ id: Id }),
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(ClosureItem) } },
  problems: ['not_found'],
  handle: async ({ parts, may, params, query: { after, limit } }) => {
    const { closure } = await closureById(parts.store, may, params.id)
    return { status: 200, body: await closureItems(parts.store, may, closure, { after: after ?? null, limit }) }
  },
})

import { z } from 'zod'
import { listSystems } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, System, slicePage } from '../../views.ts'

export const listSystemsRoute = route({
  method: 'GET',
  path: '/v1/systems',
  summary: 'Systems by name.',
  action: 'inventory:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(System) } },
  problems: [],
  handle: async ({ parts, query }) => ({ status: 200, body: slicePage(await listSystems(parts.store), query, (it) => it.name) }),
})

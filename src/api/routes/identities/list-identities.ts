import { z } from 'zod'
import { type Identity, listIdentities } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'

const View: z.ZodType<Identity> = z.object({
  id: z.string(),
  name: z.string(),
  kind: z.enum(['human', 'workload', 'machine', 'agent']),
  owner: z.string(),
  purpose: z.string(),
  environment: z.string(),
})

export const listIdentitiesRoute = route({
  method: 'GET',
  path: '/v1/identities',
  summary: 'Identities by name.',
  action: 'inventory:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(View) } },
  problems: [],
  handle: async ({ parts, query }) => ({ status: 200, body: slicePage(await listIdentities(parts.store), query, (it) => it.name) }),
})

import { z } from 'zod'
import { rolesIn } from '../../../identity/index.ts'
import { FAMILIES } from '../../../policy/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'

const Role = z.object({
  role: z.string(),
  families: z.array(z.enum(FAMILIES)).describe('Families of actions in which it may change something.'),
  actions: z.array(z.string()).describe('What it may do at most.'),
  forced: z.string().nullable().describe('Why it may hold directory rights and credential rights together.'),
})

export const listRolesRoute = route({
  method: 'GET',
  path: '/v1/roles',
  summary: 'Roles that the policies in force give something to, by name.',
  action: 'role:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Role) } },
  problems: [],
  handle: async ({ parts, query }) => ({ status: 200, body: slicePage(rolesIn(parts.policies.set), query, (it) => it.role) }),
})

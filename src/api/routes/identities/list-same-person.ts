import { z } from 'zod'
import { readSamePerson } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

const SamePerson = z
  .object({
    id: z.string(),
    name: z.string(),
    status: z.string(),
    same: z.boolean().describe('Whether it counts as the same person.'),
    because: z.enum(['said', 'address']).describe('`said`: somebody said so. `address`: both have one address.'),
  })
  .meta({ id: 'SamePerson' })

export const listSamePersonRoute = route({
  method: 'GET',
  path: '/v1/identities/:identity/same-person',
  summary: 'Other identities that count as the same person, and those that do not although they seem to.',
  action: 'identity:read',
  params: z.strictObject({ identity: Name }),
  answers: { 200: { what: 'At most 100', schema: z.object({ items: z.array(SamePerson) }) } },
  problems: ['not_found'],
  handle: async ({ parts, may, params }) => ({
    status: 200,
    body: { items: await readSamePerson(parts.store, may, params.identity) },
  }),
})

import { discoveryOne, schemas } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const showSchemaRoute = scimRoute({
  method: 'GET',
  path: '/Schemas/:id',
  statuses: [200],
  handle: async ({ id }) => ({ status: 200, body: discoveryOne(schemas(), id) }),
})

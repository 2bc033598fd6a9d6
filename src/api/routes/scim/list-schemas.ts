import { discoveryList, schemas } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const listSchemasRoute = scimRoute({
  method: 'GET',
  path: '/Schemas',
  statuses: [200],
  handle: async ({ query }) => ({ status: 200, body: discoveryList(schemas(), query) }),
})

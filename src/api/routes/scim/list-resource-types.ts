import { discoveryList, resourceTypes } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const listResourceTypesRoute = scimRoute({
  method: 'GET',
  path: '/ResourceTypes',
  statuses: [200],
  handle: async ({ query }) => ({ status: 200, body: discoveryList(resourceTypes(), query) }),
})

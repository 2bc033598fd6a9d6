import { discoveryOne, resourceTypes } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const showResourceTypeRoute = scimRoute({
  method: 'GET',
  path: '/ResourceTypes/:id',
  statuses: [200],
  handle: async ({ id }) => ({ status: 200, body: discoveryOne(resourceTypes(), id) }),
})

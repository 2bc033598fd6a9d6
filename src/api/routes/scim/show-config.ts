import { serviceProviderConfig } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const showConfigRoute = scimRoute({
  method: 'GET',
  path: '/ServiceProviderConfig',
  statuses: [200],
  handle: async () => ({ status: 200, body: serviceProviderConfig() }),
})

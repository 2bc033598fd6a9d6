import { ScimError } from '../../../identity/scim/index.ts'
import { type Method, scimRoute } from '../../scim.ts'

const refuse = async (): Promise<never> => {
  throw new ScimError(501, null, 'This server does not do that: see /ServiceProviderConfig.')
}

/** RFC 7644 section 3.7: declared as not supported. */
export const bulkRoute = scimRoute({ method: 'POST', path: '/Bulk', statuses: [501], handle: refuse })

const METHODS: readonly Method[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
/** RFC 7644 section 3.11: a provider's token is nobody's own. */
export const meRoutes = METHODS.map((method) => scimRoute({ method, path: '/Me', statuses: [501], handle: refuse }))

import { deleteUser } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const deleteUserRoute = scimRoute({
  method: 'DELETE',
  path: '/Users/:id',
  statuses: [204],
  handle: async ({ parts, ctx, client, id, ifMatch }) => {
    await deleteUser(parts.store, ctx, client, id, ifMatch)
    return { status: 204 }
  },
})

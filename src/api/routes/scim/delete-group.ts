import { ownedByTeam } from '../../../credential/index.ts'
import { deleteGroup } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const deleteGroupRoute = scimRoute({
  method: 'DELETE',
  path: '/Groups/:id',
  statuses: [204],
  handle: async ({ parts, ctx, client, id, ifMatch }) => {
    await deleteGroup(parts.store, ctx, client, id, { ifMatch, alsoOwned: ownedByTeam })
    return { status: 204 }
  },
})

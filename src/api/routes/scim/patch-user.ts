import { patchUser, showUser, wantedIn } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const patchUserRoute = scimRoute({
  method: 'PATCH',
  path: '/Users/:id',
  statuses: [200],
  handle: async ({ parts, ctx, client, id, query, body, ifMatch }) => {
    const wanted = wantedIn(query)
    const row = await patchUser(parts.store, ctx, client, id, body ?? null, ifMatch)
    return resourceAnswer(200, row.version, await showUser(parts.store, row, wanted))
  },
})

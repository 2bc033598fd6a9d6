import { readUser, showUser, wantedIn } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const readUserRoute = scimRoute({
  method: 'GET',
  path: '/Users/:id',
  statuses: [200],
  handle: async ({ parts, client, id, query }) => {
    const wanted = wantedIn(query)
    const row = await readUser(parts.store, client, id)
    return resourceAnswer(200, row.version, await showUser(parts.store, row, wanted))
  },
})

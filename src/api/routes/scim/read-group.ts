import { readGroup, showGroup, wantedIn } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const readGroupRoute = scimRoute({
  method: 'GET',
  path: '/Groups/:id',
  statuses: [200],
  handle: async ({ parts, client, id, query }) => {
    const wanted = wantedIn(query)
    const row = await readGroup(parts.store, client, id)
    return resourceAnswer(200, row.version, await showGroup(parts.store, row, wanted))
  },
})

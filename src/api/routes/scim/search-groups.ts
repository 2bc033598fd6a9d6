import { listView, readSearch, searchGroups } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const searchGroupsRoute = scimRoute({
  method: 'POST',
  path: '/Groups/.search',
  statuses: [200],
  handle: async ({ parts, client, body }) => {
    const question = readSearch(body ?? null)
    return { status: 200, body: listView(await searchGroups(parts.store, client, question), question.startIndex) }
  },
})

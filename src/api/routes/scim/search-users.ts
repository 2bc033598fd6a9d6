import { listView, readSearch, searchUsers } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const searchUsersRoute = scimRoute({
  method: 'POST',
  path: '/Users/.search',
  statuses: [200],
  handle: async ({ parts, client, body }) => {
    const question = readSearch(body ?? null)
    return { status: 200, body: listView(await searchUsers(parts.store, client, question), question.startIndex) }
  },
})

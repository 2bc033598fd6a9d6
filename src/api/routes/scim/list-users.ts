import { listView, readQuestion, searchUsers } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const listUsersRoute = scimRoute({
  method: 'GET',
  path: '/Users',
  statuses: [200],
  handle: async ({ parts, client, query }) => {
    const question = readQuestion(query)
    return { status: 200, body: listView(await searchUsers(parts.store, client, question), question.startIndex) }
  },
})

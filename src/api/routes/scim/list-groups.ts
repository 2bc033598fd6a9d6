import { listView, readQuestion, searchGroups } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const listGroupsRoute = scimRoute({
  method: 'GET',
  path: '/Groups',
  statuses: [200],
  handle: async ({ parts, client, query }) => {
    const question = readQuestion(query)
    return { status: 200, body: listView(await searchGroups(parts.store, client, question), question.startIndex) }
  },
})

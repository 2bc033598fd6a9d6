import { listView, readSearch, searchAll } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'

export const searchAllRoute = scimRoute({
  method: 'POST',
  path: '/.search',
  statuses: [200],
  handle: async ({ parts, client, body }) => {
    const question = readSearch(body ?? null)
    return { status: 200, body: listView(await searchAll(parts.store, client, question), question.startIndex) }
  },
})

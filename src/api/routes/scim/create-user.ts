import { createUser, showUser, wantedIn } from '../../../identity/scim/index.ts'
import { scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const createUserRoute = scimRoute({
  method: 'POST',
  path: '/Users',
  statuses: [201],
  handle: async ({ parts, ctx, client, query, body }) => {
    const wanted = wantedIn(query)
    const row = await createUser(parts.store, ctx, client, body ?? null)
    return resourceAnswer(201, row.version, await showUser(parts.store, row, wanted), { endpoint: '/Users', id: row.id })
  },
})

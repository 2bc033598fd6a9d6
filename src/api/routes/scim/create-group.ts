import { createGroup, showGroup, wantedIn } from '../../../identity/scim/index.ts'
import { GROUP_BYTES, scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const createGroupRoute = scimRoute({
  method: 'POST',
  path: '/Groups',
  statuses: [201],
  bodyBytes: GROUP_BYTES,
  handle: async ({ parts, ctx, client, query, body }) => {
    const wanted = wantedIn(query)
    const row = await createGroup(parts.store, ctx, client, body ?? null)
    return resourceAnswer(201, row.version, await showGroup(parts.store, row, wanted), { endpoint: '/Groups', id: row.id })
  },
})

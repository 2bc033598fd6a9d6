import { replaceGroup, showGroup, wantedIn } from '../../../identity/scim/index.ts'
import { GROUP_BYTES, scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const replaceGroupRoute = scimRoute({
  method: 'PUT',
  path: '/Groups/:id',
  statuses: [200],
  bodyBytes: GROUP_BYTES,
  handle: async ({ parts, ctx, client, id, query, body, ifMatch }) => {
    const wanted = wantedIn(query)
    const row = await replaceGroup(parts.store, ctx, client, id, body ?? null, ifMatch)
    return resourceAnswer(200, row.version, await showGroup(parts.store, row, wanted))
  },
})

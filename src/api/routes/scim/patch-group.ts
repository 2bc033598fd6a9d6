import { etagOf, patchGroup, showGroup, wantedIn } from '../../../identity/scim/index.ts'
import { GROUP_BYTES, scimRoute } from '../../scim.ts'
import { resourceAnswer } from './view-answer.ts'

export const patchGroupRoute = scimRoute({
  method: 'PATCH',
  path: '/Groups/:id',
  statuses: [200, 204],
  bodyBytes: GROUP_BYTES,
  handle: async ({ parts, ctx, client, id, query, body, ifMatch }) => {
    const wanted = wantedIn(query)
    const row = await patchGroup(parts.store, ctx, client, id, body ?? null, ifMatch)
    // RFC 7644 section 3.5.2: the resource only where attributes are asked for. A group of 10,000 is not sent back for each of them.
    if (wanted.attributes.length + wanted.excludedAttributes.length === 0) return { status: 204, headers: { etag: etagOf(row.version) } }
    return resourceAnswer(200, row.version, await showGroup(parts.store, row, wanted))
  },
})

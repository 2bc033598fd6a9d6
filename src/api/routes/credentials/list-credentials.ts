import { z } from 'zod'
import { listCredentials } from '../../../credential/index.ts'
import { LIMITS } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { Credential, cut, Id, Name, pageOf, pageQuery } from '../../views.ts'

export const listCredentialsRoute = route({
  method: 'GET',
  path: '/v1/credentials',
  summary: 'Credentials by name, the root credentials of systems included.',
  action: 'inventory:read',
  query: z.strictObject({ ...pageQuery, system: Name.optional(), identity: Id.optional() }),
  answers: { 200: { what: 'One page', schema: pageOf(Credential) } },
  problems: [],
  handle: async ({ parts, query }) => {
    // One more than the page tells whether there is a next one; the largest page has no room for it and may be followed by an empty one.
    const asked = Math.min(query.limit + 1, LIMITS.pageMax)
    const found = await listCredentials(parts.store, { ...query, limit: asked })
    const limit = asked > query.limit ? query.limit : asked - 1
    return { status: 200, body: cut(found, limit, (last) => last.name) }
  },
})

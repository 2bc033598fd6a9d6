import { z } from 'zod'
import { readTokens } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Token, tokenView } from './views.ts'

export const listTokensRoute = route({
  method: 'GET',
  path: '/v1/tokens',
  summary: 'API tokens that are good, oldest first; never their texts.',
  action: 'token:list',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    ended: z.enum(['true', 'false']).default('false').describe('Also those that were revoked or have ended.'),
    identity: Id.optional().describe('Only those of this identity, that act for it, or that it made.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Token) } },
  problems: [],
  handle: async ({ parts, may, query }) => {
    const { after = null, limit, ended, identity = null } = query
    const { items, next } = await readTokens(parts.store, may, { after, limit, ended: ended === 'true', identity })
    return { status: 200, body: { items: items.map(tokenView), next } }
  },
})

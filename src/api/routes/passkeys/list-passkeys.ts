import { z } from 'zod'
import { readPasskeys } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { PasskeyShown, passkeyView } from './views.ts'

export const listPasskeysRoute = route({
  method: 'GET',
  path: '/v1/passkeys',
  summary: 'Passkeys: of one person, or all that the asker may see. A page may be short though more follow.',
  action: 'passkey:read',
  query: z.strictObject({ ...pageQuery, identity: Id.optional().describe('Only of this person.') }),
  answers: { 200: { what: 'One page, oldest first', schema: pageOf(PasskeyShown) } },
  problems: [],
  handle: async ({ parts, ctx, may, query }) => {
    const { items, next } = await readPasskeys(parts.store, ctx, may, query)
    return { status: 200, body: { items: items.map(passkeyView), next } }
  },
})

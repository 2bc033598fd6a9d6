import { z } from 'zod'
import { readSessions } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Session, sessionView } from './views.ts'

export const listSessionsRoute = route({
  method: 'GET',
  path: '/v1/sessions',
  summary: 'Sessions that are open now: of one person, or all that the asker may see. A page may be short though more follow.',
  action: 'session:read',
  query: z.strictObject({ ...pageQuery, identity: Id.optional().describe('Only of this person.') }),
  answers: { 200: { what: 'One page, oldest first', schema: pageOf(Session) } },
  problems: [],
  handle: async ({ parts, ctx, may, query, session }) => {
    const { items, next } = await readSessions(parts.store, ctx, may, query)
    return { status: 200, body: { items: items.map((one) => sessionView(one, session?.session ?? null)), next } }
  },
})

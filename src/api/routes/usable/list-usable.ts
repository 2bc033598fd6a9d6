import { z } from 'zod'
import { listUsable } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Name, pageOf, pageQuery } from '../../views.ts'
import { Usable, UsableState } from './views.ts'

export const listUsableRoute = route({
  method: 'GET',
  path: '/v1/usable',
  summary:
    'Every version of every credential that could authenticate right now, root credentials too, and every API token of Rekey, oldest ' +
    'first. A page may be short, or empty, while there is more.',
  action: 'usable:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    identity: Name.optional().describe('By id or name.'),
    system: Name.optional(),
    state: UsableState.optional(),
    olderThanDays: z.coerce.number().int().min(0).max(36_500).optional(),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Usable) } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, query }) => ({ status: 200, body: await listUsable(parts.store, ctx, may, query) }),
})

import { z } from 'zod'
import { listUsable } from '../../../credential/index.ts'
import { identityNamed } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, Id, Name, pageOf, pageQuery } from '../../views.ts'
import { Usable, UsableState } from './views.ts'

export const listUsableRoute = route({
  method: 'GET',
  path: '/v1/usable',
  summary: 'Every version of every credential that could authenticate right now, root credentials too, oldest first.',
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
  handle: async ({ parts, may, query: { identity, ...query } }) => {
    const of = identity === undefined ? undefined : (await identityNamed(parts.store, identity)).id
    const found = await listUsable(parts.store, may, { ...query, identity: of })
    return { status: 200, body: cut(found, query.limit, ({ version }) => version) }
  },
})

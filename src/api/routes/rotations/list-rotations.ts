import { z } from 'zod'
import { listRotations } from '../../../credential/index.ts'
import { pageOfSeen } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { Id, Name, pageOf, pageQuery, Rotation, StateName } from '../../views.ts'
import { readable } from './find.ts'

export const listRotationsRoute = route({
  method: 'GET',
  path: '/v1/rotations',
  summary: 'Rotations, newest first.',
  action: 'rotation:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    batch: Id.optional(),
    credential: Name.optional(),
    state: StateName.optional(),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Rotation) } },
  problems: [],
  handle: async ({ parts, may, query }) => {
    const body = await pageOfSeen(
      { after: query.after ?? null, limit: query.limit },
      {
        read: (after, limit) => listRotations(parts.store, { ...query, after: after ?? undefined, limit }),
        cursorOf: ({ rotation }) => rotation,
        mine: (found) => readable(parts, may, found),
      },
    )
    return { status: 200, body }
  },
})

import { z } from 'zod'
import { listRotations } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { cut, Id, Name, pageOf, pageQuery, Rotation, StateName } from '../../views.ts'
import { readable } from './find.ts'

export const listRotationsRoute = route({
  method: 'GET',
  path: '/v1/rotations',
  summary: 'Rotations, newest first. A page holds fewer than its limit where some are not to be seen.',
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
    const found = await listRotations(parts.store, { ...query, limit: query.limit + 1 })
    const { items, next } = cut(found, query.limit, (last) => last.rotation)
    return { status: 200, body: { items: await readable(parts, may, items), next } }
  },
})

import { z } from 'zod'
import { withInterventions } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, RotationDetail } from '../../views.ts'
import { noRotation, readable, rotationById } from './find.ts'

export const showRotation = route({
  method: 'GET',
  path: '/v1/rotations/:id',
  summary: 'One rotation, and what people did to it.',
  action: 'rotation:read',
  params: z.strictObject({ id: Id }),
  answers: { 200: { what: 'The rotation', schema: RotationDetail } },
  problems: ['not_found'],
  handle: async ({ parts, may, params }) => {
    const [found] = await readable(parts, may, [await rotationById(parts, params.id)])
    if (found === undefined) throw noRotation(params.id)
    return { status: 200, body: await withInterventions(parts.store, found) }
  },
})

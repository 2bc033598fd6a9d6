import { z } from 'zod'
import { undoRotation } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Reason, Rotation } from '../../views.ts'
import { rotationById } from './find.ts'

export const undoRotationRoute = route({
  method: 'POST',
  path: '/v1/rotations/:id/undo',
  summary: 'Takes a rotation back while the old value is not yet being retired.',
  action: 'rotation:undo',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ reason: Reason.default('requested') }).optional(),
  answers: { 202: { what: 'It is being undone', schema: Rotation } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await undoRotation(parts, ctx, may, params.id, body?.reason ?? 'requested')
    return { status: 202, body: await rotationById(parts, params.id) }
  },
})

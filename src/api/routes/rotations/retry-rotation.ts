import { z } from 'zod'
import { retryRotation } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Rotation } from '../../views.ts'
import { rotationById } from './find.ts'

export const retryRotationRoute = route({
  method: 'POST',
  path: '/v1/rotations/:id/retry',
  summary: 'Lets a blocked rotation go on from where it stopped.',
  action: 'rotation:retry',
  params: z.strictObject({ id: Id }),
  answers: { 202: { what: 'It goes on', schema: Rotation } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => {
    await retryRotation(parts, ctx, may, params.id)
    return { status: 202, body: await rotationById(parts, params.id) }
  },
})

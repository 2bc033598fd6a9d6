import { z } from 'zod'
import { resolveRotation } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Name, Reason, Rotation } from '../../views.ts'
import { rotationById } from './find.ts'

export const resolveRotationRoute = route({
  method: 'POST',
  path: '/v1/rotations/:id/resolve',
  summary: "Records a human's word where Rekey cannot know: consumers are taken as activated, or the old value as irrevocable.",
  action: 'rotation:resolve',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ kind: z.enum(['override-activation', 'irrevocable']), by: Name, reason: Reason }),
  answers: { 202: { what: 'It is recorded', schema: Rotation } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await resolveRotation(parts, ctx, may, params.id, body)
    return { status: 202, body: await rotationById(parts, params.id) }
  },
})

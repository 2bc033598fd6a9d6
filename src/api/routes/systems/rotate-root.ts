import { z } from 'zod'
import { requireSystem, startRotations } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason, Started } from '../../views.ts'
import { refuseNone } from '../rotations/refuse-none.ts'

export const rotateRoot = route({
  method: 'POST',
  path: '/v1/systems/:name/rotate-root',
  summary: "Rotates the system's own root credential.",
  action: 'system:rotate-root',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason.default('requested') }).optional(),
  answers: { 202: { what: 'It is stored and will run', schema: Started } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may: mayRoot, principal, params, body }) => {
    requireSystem(mayRoot, params.name)
    // Both rights are needed: to rotate at all, and to do it to the key of a whole system.
    const may = parts.policies.allow(ctx, principal, 'rotation:start')
    const options = { reason: body?.reason ?? 'requested', urgent: false, root: true }
    const started = await startRotations(parts, ctx, may, { system: params.name }, options)
    return { status: 202, body: refuseNone(started) }
  },
})

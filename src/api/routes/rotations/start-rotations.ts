import { z } from 'zod'
import { type Selection, startRotations } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason, Started } from '../../views.ts'

const Body = z
  .strictObject({
    names: z.array(Name).min(1).optional().describe('These credentials.'),
    system: Name.optional().describe('Every credential of this system.'),
    all: z.literal(true).optional().describe('Every credential.'),
    reason: Reason.default('requested'),
    urgent: z.boolean().default(false).describe('The grace period is skipped: the old value is known to be out.'),
  })
  .refine(
    ({ names, system, all }) => [names, system, all].filter((one) => one !== undefined).length === 1,
    'Give exactly one of names, system and all',
  )

function selectionOf({ names, system }: z.output<typeof Body>): Selection {
  if (names !== undefined) return { names: [...new Set(names)] }
  return system === undefined ? { all: true } : { system }
}

export const startRotationsRoute = route({
  method: 'POST',
  path: '/v1/rotations',
  summary: 'Starts one rotation for each selected credential, all or none; of a system or of all, the busy ones are left out and named.',
  action: 'rotation:start',
  body: Body,
  answers: { 202: { what: 'They are stored and will run', schema: Started } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, body }) => {
    const started = await startRotations(parts, ctx, may, selectionOf(body), { reason: body.reason, urgent: body.urgent })
    return { status: 202, body: started }
  },
})

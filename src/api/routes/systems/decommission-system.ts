import { z } from 'zod'
import { decommissionSystem } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

const Decommissioned = z.object({
  notProvable: z.int().describe('Versions of which nobody can prove whether they are dead.'),
  rotations: z.int().describe('Blocked rotations that ended not_provable.'),
  root: z.enum(['accepted', 'refused', 'unreachable', 'inconclusive']).describe('What the system said to its root value.'),
})

export const decommissionSystemRoute = route({
  method: 'POST',
  path: '/v1/systems/:name/decommission',
  summary: 'Gives up a system: nothing on it is rotated any more, and its root secret is destroyed after a time.',
  action: 'system:decommission',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({
    reason: Reason,
    unprovable: z.boolean().default(false).describe('Also ends what is alive on a system that does not answer, as not provable.'),
  }),
  answers: { 200: { what: 'It was given up', schema: Decommissioned } },
  problems: ['not_found', 'conflict', 'wrong_state', 'kek_unavailable', 'sealed_damaged'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    return { status: 200, body: await decommissionSystem(parts, ctx, may, params.name, body) }
  },
})

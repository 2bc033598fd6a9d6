import { z } from 'zod'
import { acceptServer } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, Reason, ServerFacts } from '../../views.ts'

const Accepted = z.object({
  changed: z.boolean().describe('False: it was on record already.'),
  before: ServerFacts.describe('What the server before said of itself.'),
  after: ServerFacts,
})

export const acceptServerRoute = route({
  method: 'POST',
  path: '/v1/systems/:name/server',
  summary: 'Puts the server on record that answers for a system now. What the one before answered counts no more.',
  action: 'system:accept-server',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({
    reason: Reason,
    apart: z.boolean().default(false).describe('It is a copy of another system’s server, with accounts of its own.'),
  }),
  answers: { 200: { what: 'It is on record', schema: Accepted } },
  problems: [
    ...(['not_found', 'conflict', 'wrong_state', 'kek_unavailable', 'sealed_damaged'] as const),
    ...(['target_not_authorised', 'target_unreachable', 'target_conflict', 'target_unsupported'] as const),
  ],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({ status: 200, body: await acceptServer(parts, ctx, may, params.name, body) }),
})

import { z } from 'zod'
import { diffInventory } from '../../../credential/index.ts'
import { LIMITS } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { Change, FleetInput } from './schemas.ts'

const Source = z.union([z.object({ file: z.string() }), z.object({ env: z.string() }), z.object({ prompt: z.literal(true) })])

const Diff = z.object({
  changes: z.array(Change),
  summary: z.object({ add: z.int(), change: z.int(), missing: z.int(), refused: z.int() }),
  digest: z.string().describe('Stands for all of this; applying asks for it.'),
  needed: z
    .array(z.object({ for: z.string(), source: Source }))
    .describe('Secrets to be read now: `system:<name>` or `credential:<name>`.'),
  authorities: z.array(z.string()).describe('Files of certificate authorities that the file names.'),
})

export const diffFleetRoute = route({
  method: 'POST',
  path: '/v1/fleet/diff',
  summary: 'What applying a fleet file would change. Changes nothing.',
  action: 'inventory:read',
  body: z.strictObject(FleetInput),
  bodyBytes: LIMITS.bodyBytes,
  answers: { 200: { what: 'The difference', schema: Diff } },
  problems: ['fleet_invalid', 'too_large'],
  handle: async ({ parts, ctx, may, body }) => ({ status: 200, body: await diffInventory(parts, ctx, may, body) }),
})

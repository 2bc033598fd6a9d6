import { z } from 'zod'
import { LIMITS } from '../../../kernel/index.ts'
import { text } from '../../views.ts'

/** A fleet file and where its relative paths start. */
export const FleetInput = {
  text: z.string().max(LIMITS.fleetBytes).describe('The YAML.'),
  folder: text(4096).describe('Absolute path of the folder that relative paths in the file start from.'),
}

/** One difference between file and inventory. */
export const Change = z
  .object({
    kind: z.enum(['add', 'change', 'missing-from-file']),
    of: z.enum(['system', 'identity', 'credential', 'consumer']),
    name: z.string(),
    credential: z.string().nullable(),
    fields: z.array(z.object({ field: z.string(), before: z.unknown().optional(), after: z.unknown().optional() })),
    dangerous: z.boolean(),
    reason: z.string().nullable(),
    takeover: z
      .boolean()
      .optional()
      .describe('Of an added credential: its value in use is not given, so that its first rotation ends not provable.'),
  })
  .meta({ id: 'Change' })

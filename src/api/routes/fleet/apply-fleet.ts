import { z } from 'zod'
import { applyInventory } from '../../../credential/index.ts'
import type { Permit } from '../../../identity/index.ts'
import { LIMITS } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { SecretValue, text } from '../../views.ts'
import { Change, FleetInput } from './schemas.ts'

const PEM_CHARS = 1024 * 1024
const KEY_CHARS = LIMITS.nameChars + 'credential:'.length

const Body = z.strictObject({
  ...FleetInput,
  digest: text(200).describe('Of the diff that was shown.'),
  prune: z.boolean().default(false).describe('Also removes what is missing from the file and not alive.'),
  secrets: z.record(text(KEY_CHARS), SecretValue).default({}).describe('`system:<name>` or `credential:<name>` to the value in base64.'),
  authorities: z.record(text(4096), z.string().max(PEM_CHARS)).default({}).describe('Path to PEM text.'),
})

const Applied = z.object({ changes: z.array(Change), applied: z.object({ add: z.int(), change: z.int(), removed: z.int() }) })

export const applyFleetRoute = route({
  method: 'POST',
  path: '/v1/fleet/apply',
  summary:
    'Applies a fleet file in one transaction, if the difference is still the one that was shown. Identities in it need identity rights.',
  action: 'inventory:apply',
  body: Body,
  bodyBytes: LIMITS.bodyBytes,
  answers: { 200: { what: 'What was applied', schema: Applied } },
  problems: ['fleet_invalid', 'plan_changed', 'conflict', 'too_large', 'kek_unavailable'],
  startsWork: true,
  // The digest stands for the file.
  boundBy: ({ digest, folder, prune, secrets }: z.output<typeof Body>) => ({ digest, folder, prune, secrets }),
  handle: async ({ parts, ctx, may, principal, body }) => {
    const { secrets, authorities, ...rest } = body
    const input = { ...rest, secrets: new Map(Object.entries(secrets)), authorities: new Map(Object.entries(authorities)) }
    const permit: Permit = (action) => parts.policies.allow(ctx, principal, action)
    return { status: 200, body: await applyInventory(parts, ctx, may, permit, input) }
  },
})

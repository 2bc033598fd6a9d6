import { z } from 'zod'
import { setRoot } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, SecretValue } from '../../views.ts'

const RootSet = z.object({
  version: z.int().describe('The version in use now.'),
  changed: z.boolean().describe('False: it was the stored value already.'),
  old: z.enum(['dead', 'unprovable']).nullable().describe('How the value before ended.'),
  stillAt: z.array(z.string()).describe('Other accounts at which the value before still lets that login name in.'),
})

const Body = z.strictObject({ secret: SecretValue.describe('The value in base64.') })

export const setRootRoute = route({
  method: 'POST',
  path: '/v1/systems/:name/root',
  summary: 'Takes over a root secret that was changed on the system by hand. Tried before it replaces the stored one.',
  action: 'system:set-root',
  params: z.strictObject({ name: Name }),
  body: Body,
  answers: { 200: { what: 'The system accepts it', schema: RootSet } },
  problems: [
    ...(['not_found', 'conflict', 'wrong_state', 'kek_unavailable', 'sealed_damaged'] as const),
    ...(['target_not_authorised', 'target_unreachable', 'target_conflict', 'target_unsupported'] as const),
  ],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({ status: 200, body: await setRoot(parts, ctx, may, params.name, body.secret) }),
})

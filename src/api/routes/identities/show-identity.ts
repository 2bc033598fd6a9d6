import { z } from 'zod'
import { readIdentity } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { fullView, IdentityFull } from './views.ts'

export const showIdentity = route({
  method: 'GET',
  path: '/v1/identities/:identity',
  summary: 'One identity by id or name, with its teams, entitlements and external ids.',
  action: 'identity:read',
  params: z.strictObject({ identity: Name }),
  answers: { 200: { what: 'The identity', schema: IdentityFull } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, params }) => ({ status: 200, body: fullView(await readIdentity(parts, ctx, may, params.identity)) }),
})

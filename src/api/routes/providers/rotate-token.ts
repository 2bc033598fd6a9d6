import { z } from 'zod'
import { OVERLAP_MAX_SECONDS, rotateProviderToken } from '../../../identity/scim/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { Token, tokenView } from './views.ts'

export const rotateTokenRoute = route({
  method: 'POST',
  path: '/v1/scim/providers/:name/rotate-token',
  summary: 'Makes a new token for an identity provider; the one before it stays good for the overlap.',
  action: 'scim:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ overlapSeconds: z.int().min(0).max(OVERLAP_MAX_SECONDS).optional().describe('A day unless given.') }).optional(),
  answers: { 201: { what: 'The new token', schema: Token } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, params, body }) => {
    const token = await rotateProviderToken(parts.store, ctx, may, params.name, body?.overlapSeconds)
    return { status: 201, body: tokenView(token) }
  },
})

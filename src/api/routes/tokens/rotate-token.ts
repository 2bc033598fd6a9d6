import { z } from 'zod'
import { rotateToken, TOKEN_OVERLAP_MAX_SECONDS } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { NewToken, newTokenView } from './views.ts'

export const rotateApiTokenRoute = route({
  method: 'POST',
  path: '/v1/tokens/:token/rotate',
  summary: 'Makes a new text for an API token; the one before it stays good for the overlap.',
  action: 'token:rotate',
  params: z.strictObject({ token: Name }),
  body: z
    .strictObject({
      overlapSeconds: z.int().min(0).max(TOKEN_OVERLAP_MAX_SECONDS).optional().describe('A day unless given.'),
      expiresSeconds: z.int().min(1).max(1_000_000_000).optional().describe('30 days unless given. The first token never ends.'),
    })
    .optional(),
  answers: { 201: { what: 'The new token', schema: NewToken } },
  problems: ['not_found', 'conflict'],
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const { overlapSeconds = null, expiresSeconds = null } = body ?? {}
    return { status: 201, body: newTokenView(await rotateToken(parts, ctx, may, principal, { ...params, overlapSeconds, expiresSeconds })) }
  },
})

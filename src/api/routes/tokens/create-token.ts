import { z } from 'zod'
import { createToken } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Environments, NewToken, newTokenView, Scope, TokenName } from './views.ts'

export const createTokenRoute = route({
  method: 'POST',
  path: '/v1/tokens',
  summary: 'Makes an API token, with no more rights than its maker has.',
  action: 'token:create',
  body: z.strictObject({
    name: TokenName,
    roles: z.array(Name).max(20).default([]).describe('None: it follows its identity, which must be your own, within its scope.'),
    scope: Scope.optional(),
    environments: Environments.optional(),
    expiresSeconds: z.int().min(1).max(1_000_000_000).optional().describe('30 days unless given; the configuration says the most.'),
    identity: Name.optional().describe('Whose it is, by id or name.'),
    actsFor: Name.optional().describe('Of an agent: for whom it acts, by id or name.'),
    reason: Reason,
    force: z.boolean().default(false).describe('Although it then holds directory rights and credential rights.'),
  }),
  answers: { 201: { what: 'The token', schema: NewToken } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  handle: async ({ parts, ctx, may, principal, body }) => {
    const { scope = null, environments = null, expiresSeconds = null, identity = null, actsFor = null, ...rest } = body
    const made = await createToken(parts, ctx, may, principal, { ...rest, scope, environments, expiresSeconds, identity, actsFor })
    return { status: 201, body: newTokenView(made) }
  },
})

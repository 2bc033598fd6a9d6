import { z } from 'zod'
import { addProvider, OFFBOARD_AFTER_MAX_SECONDS } from '../../../identity/scim/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { Token, tokenView } from './views.ts'

export const addProviderRoute = route({
  method: 'POST',
  path: '/v1/scim/providers',
  summary: 'Adds an identity provider and makes its first token.',
  action: 'scim:configure',
  body: z.strictObject({
    name: Name,
    tenancy: Name.optional().describe('Of the people and teams that it pushes.'),
    offboardAfterSeconds: z
      .int()
      .min(0)
      .max(OFFBOARD_AFTER_MAX_SECONDS)
      .optional()
      .describe('From the word that somebody is not active to their offboarding; a week unless given.'),
  }),
  answers: { 201: { what: 'The provider is there; its token', schema: Token } },
  problems: ['conflict'],
  handle: async ({ parts, ctx, may, body }) => ({ status: 201, body: tokenView(await addProvider(parts.store, ctx, may, body)) }),
})

import { z } from 'zod'
import { removeIssuer } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const removeIssuerRoute = route({
  method: 'POST',
  path: '/v1/issuers/:name/remove',
  summary: 'Trusts an issuer no more, from the next token on, and drops its rules.',
  action: 'issuer:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'It is not trusted any more', schema: z.object({ name: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await removeIssuer(parts.store, ctx, may, params.name, body.reason)
    return { status: 200, body: { name: params.name } }
  },
})

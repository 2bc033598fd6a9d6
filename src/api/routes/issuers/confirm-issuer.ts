import { z } from 'zod'
import { confirmIssuer } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const confirmIssuerRoute = route({
  method: 'POST',
  path: '/v1/issuers/:name/confirm',
  summary: 'Answers for the issuer and its rules, as they are, in place of who made them and has left.',
  action: 'issuer:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'Confirmed', schema: z.object({ name: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => {
    await confirmIssuer(parts.store, ctx, may, params.name, body.reason)
    return { status: 200, body: { name: params.name } }
  },
})

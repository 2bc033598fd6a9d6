import { z } from 'zod'
import { unmapIssuer } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Name } from '../../views.ts'

export const unmapIssuerRoute = route({
  method: 'POST',
  path: '/v1/issuers/:name/rules/:id/remove',
  summary: 'Takes a rule of an issuer back, from the next token on.',
  action: 'issuer:configure',
  params: z.strictObject({ name: Name, id: Id }),
  answers: { 200: { what: 'It does not count any more', schema: z.object({ id: z.string() }) } },
  problems: ['not_found'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params }) => {
    await unmapIssuer(parts.store, ctx, may, params.name, params.id)
    return { status: 200, body: { id: params.id } }
  },
})

import { z } from 'zod'
import { moveByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { defined, fullView, IdentityFull, ialOf, identityInput } from './views.ts'

export const moveIdentityRoute = route({
  method: 'POST',
  path: '/v1/identities/:identity/move',
  summary: 'A mover: changes what the record says. What is left out stays; labels and entitlements are given whole.',
  action: 'identity:move',
  params: z.strictObject({ identity: Name }),
  body: z.strictObject({ name: Name.optional(), ...identityInput, reason: Reason.optional() }),
  answers: { 200: { what: 'As it is now', schema: IdentityFull } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body: { ial, ...body } }) => ({
    status: 200,
    body: fullView(await moveByHand(parts, ctx, may, principal, params.identity, { ...defined(body), ...ialOf(ial) })),
  }),
})

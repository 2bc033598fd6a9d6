import { z } from 'zod'
import { joinByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { defined, fullView, IdentityFull, IdentityKind, ialOf, identityInput } from './views.ts'

export const joinIdentityRoute = route({
  method: 'POST',
  path: '/v1/identities',
  summary: 'A joiner: adds an identity.',
  action: 'identity:join',
  body: z.strictObject({ name: Name, kind: IdentityKind, ...identityInput }),
  answers: { 201: { what: 'It joined', schema: IdentityFull } },
  problems: ['not_found', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body: { ial, ...body } }) => ({
    status: 201,
    body: fullView(await joinByHand(parts, ctx, may, principal, { ...defined(body), ...ialOf(ial) })),
  }),
})

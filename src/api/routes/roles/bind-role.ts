import { z } from 'zod'
import { bindRole } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Binding } from './schemas.ts'

export const bindRoleRoute = route({
  method: 'POST',
  path: '/v1/role-bindings',
  summary: 'Binds a role to a team, an identity or a token. Nobody binds one to themselves, or to what is theirs.',
  action: 'role:bind',
  body: z.strictObject({
    role: Name,
    kind: z.enum(['team', 'identity', 'token']),
    subject: Name.describe('Name or id of an identity or token; immutable id of a team.'),
    reason: Reason,
    force: z.boolean().default(false).describe('Although it, or somebody in it, then holds directory rights and credential rights.'),
  }),
  answers: { 201: { what: 'It is bound', schema: Binding } },
  problems: ['not_found', 'conflict', 'wrong_state', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => ({
    status: 201,
    body: await bindRole(parts.store, ctx, may, principal, parts.policies, body),
  }),
})

import { z } from 'zod'
import { unlinkPerson } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

export const unlinkPersonRoute = route({
  method: 'POST',
  path: '/v1/login/links/remove',
  summary: 'Says that a person is no subject of a provider any more, and ends the sessions that they began there.',
  action: 'login:configure',
  body: z.strictObject({ identity: Name, provider: Name, reason: Reason }),
  answers: {
    200: { what: 'Not linked any more', schema: z.object({ identity: z.string(), provider: z.string(), sessionsEnded: z.int() }) },
  },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    const sessionsEnded = await unlinkPerson(parts, ctx, may, principal, body)
    return { status: 200, body: { identity: body.identity, provider: body.provider, sessionsEnded } }
  },
})

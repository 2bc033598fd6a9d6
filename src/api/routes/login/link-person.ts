import { z } from 'zod'
import { linkPerson } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Passkeys } from './provider.views.ts'

export const linkPersonRoute = route({
  method: 'POST',
  path: '/v1/login/links',
  summary: 'Says which subject of a provider a person is. Nobody does it for themselves.',
  action: 'login:configure',
  body: z.strictObject({ identity: Name, provider: Name, subject: Name, reason: Reason, passkeys: Passkeys }),
  answers: { 200: { what: 'Linked', schema: z.object({ identity: z.string(), provider: z.string() }) } },
  problems: ['not_found', 'conflict', 'wrong_state', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    await linkPerson(parts, ctx, may, principal, body)
    return { status: 200, body: { identity: body.identity, provider: body.provider } }
  },
})

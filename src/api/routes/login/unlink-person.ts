import { z } from 'zod'
import { unlinkPerson } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Passkeys } from './provider.views.ts'

const Done = z.object({
  identity: z.string(),
  provider: z.string(),
  sessionsEnded: z.int(),
  passkeysRemoved: z.int(),
  passkeysLeft: z.array(z.object({ passkey: z.string(), name: z.string(), enrolledAt: z.string() })),
  tokensLeft: z.int().describe('Good API tokens that the person made, or that are theirs.'),
})

export const unlinkPersonRoute = route({
  method: 'POST',
  path: '/v1/login/links/remove',
  summary: 'Says that a person is no subject of a provider any more, and ends the sessions that they began there.',
  action: 'login:configure',
  body: z.strictObject({ identity: Name, provider: Name, reason: Reason, passkeys: Passkeys }),
  answers: { 200: { what: 'Not linked any more, and what lets the person in still', schema: Done } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    const { passkeysLeft, ...done } = await unlinkPerson(parts, ctx, may, principal, body)
    const left = passkeysLeft.map(({ enrolledAt, ...it }) => ({ ...it, enrolledAt: enrolledAt.toISOString() }))
    return { status: 200, body: { identity: body.identity, provider: body.provider, ...done, passkeysLeft: left } }
  },
})

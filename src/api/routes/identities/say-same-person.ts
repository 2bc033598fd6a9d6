import { z } from 'zod'
import { sayPerson } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'

const Force = z
  .boolean()
  .default(false)
  .describe('Say so although the person then holds directory rights and credential rights; the reason then has at least 10 characters.')

export const saySamePersonRoute = route({
  method: 'POST',
  path: '/v1/identities/:identity/same-person',
  summary: 'Says that two identities are of one person, who then counts once, or that they are not although they share an address.',
  action: 'identity:move',
  params: z.strictObject({ identity: Name }),
  body: z.strictObject({ other: Name, same: z.boolean(), reason: Reason, force: Force }),
  answers: { 200: { what: 'It is on record', schema: z.object({ changed: z.boolean() }) } },
  problems: ['not_found', 'wrong_state'],
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const changed = await sayPerson(parts.store, ctx, may, principal, parts.policies, { one: params.identity, ...body })
    return { status: 200, body: { changed } }
  },
})

import { z } from 'zod'
import { activatePolicies, reloadPolicies } from '../../../identity/index.ts'
import { FORCED_REASON_CHARS } from '../../../policy/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { Digest, named, PolicySetView } from './schemas.ts'

export const bypassPoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies/:id/bypass',
  summary:
    'Brings proposed policies into force without approval. By default the first token alone may; under a rule for approval, only people.',
  action: 'policy:bypass',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({
    digest: Digest,
    reason: Reason.min(FORCED_REASON_CHARS, `The reason of a bypass has at least ${FORCED_REASON_CHARS} characters.`),
  }),
  answers: { 200: { what: 'They are in force', schema: PolicySetView } },
  problems: ['not_found', 'wrong_state', 'conflict', 'policy_invalid', 'unavailable'],
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const { store, policies } = parts
    const warrant = { may, reason: body.reason }
    const active = await activatePolicies(store, ctx, principal, { id: params.id, digest: body.digest, warrant })
    await reloadPolicies(store, ctx, policies)
    return { status: 200, body: await named(parts, active) }
  },
})

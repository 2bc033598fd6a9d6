import { z } from 'zod'
import { activatePolicies, approvalGate, reloadPolicies } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Reason } from '../../views.ts'
import { Digest, named, PolicySetView } from './schemas.ts'

export const approvePoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies/:id/approve',
  summary: 'Approves proposed policies, named by their digest, and brings them into force. Who proposed them cannot.',
  action: 'policy:approve',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ digest: Digest, reason: Reason.describe('Why, for the record.') }),
  answers: { 200: { what: 'They are in force', schema: PolicySetView } },
  problems: ['not_found', 'wrong_state', 'conflict', 'policy_invalid', 'unavailable', 'approval_required'],
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const { store, policies } = parts
    const warrant = { may, gate: approvalGate, because: body.reason }
    const active = await activatePolicies(store, ctx, principal, { id: params.id, digest: body.digest, warrant })
    // This server at once, so that whoever waited for the answer finds it true; the others by the notification.
    await reloadPolicies(store, ctx, policies)
    return { status: 200, body: await named(parts, active) }
  },
})

import { z } from 'zod'
import { explainPolicies } from '../../../identity/index.ts'
import { ActionName, WrittenPrincipal, WrittenResource } from '../../../policy/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

const Holder = z.strictObject({ kind: z.enum(['identity', 'token']), name: Name })

export const explainPoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies/explain',
  summary: 'What the policies in force would decide, and which of them decides it.',
  action: 'policy:explain',
  body: z.strictObject({
    principal: WrittenPrincipal.prefault({}),
    holder: Holder.optional().describe('An identity or token: its kind, roles and teams are added.'),
    action: ActionName,
    resource: WrittenResource.optional(),
  }),
  answers: {
    200: {
      what: 'The decision',
      schema: z.object({
        allowed: z.boolean(),
        reason: z.enum(['permitted', 'scope', 'environment', 'unpermitted', 'forbidden', 'failed']),
        policies: z.array(z.string()).describe('Ids of the policies that decided.'),
        stepUp: z.object({ aal: z.int(), maxAgeSeconds: z.int().nullable() }).nullable().describe('A login that would be allowed.'),
        roles: z.array(z.string()),
        withheld: z
          .array(z.string())
          .describe(
            'Roles, and teams that policies name, that do not count: a directory gave them, and with them a human would hold both hands.',
          ),
      }),
    },
  },
  problems: ['not_found', 'conflict'],
  handle: async ({ parts, ctx, may, body }) => {
    const { principal, withheld, ...decision } = await explainPolicies(parts.store, parts.policies, ctx, may, body)
    return { status: 200, body: { ...decision, roles: principal.roles, withheld: [...withheld] } }
  },
})

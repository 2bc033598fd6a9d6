import { z } from 'zod'
import { findPolicySet } from '../../../identity/index.ts'
import { schemaText } from '../../../policy/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { BothHands, FileChange, firstBothHands, named, PolicySetView } from './schemas.ts'

export const showPolicies = route({
  method: 'GET',
  path: '/v1/policies/:id',
  summary: 'One set of policies with its texts, by its id; `active` is the one in force.',
  action: 'policy:read',
  params: z.strictObject({ id: Name }),
  answers: {
    200: {
      what: 'The set',
      schema: PolicySetView.extend({
        files: z.array(z.object({ name: z.string(), text: z.string() })),
        changes: z.array(FileChange).describe('Against the set in force.'),
        bothHands: BothHands,
        schema: z.string().describe('What policies can speak of, as a Cedar schema.'),
      }),
    },
  },
  problems: ['not_found'],
  handle: async ({ parts, params }) => {
    const set = await named(parts, await findPolicySet(parts.store, params.id))
    return { status: 200, body: { ...set, bothHands: firstBothHands(set.bothHands), schema: schemaText() } }
  },
})

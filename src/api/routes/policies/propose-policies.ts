import { z } from 'zod'
import { proposePolicies } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Reason } from '../../views.ts'
import { FILES_BYTES, FileChange, Files } from './schemas.ts'

export const proposePoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies',
  summary: 'Proposes policies, laid over the default set. They decide nothing until they are approved.',
  action: 'policy:propose',
  body: z.strictObject({ files: Files, reason: Reason }),
  bodyBytes: FILES_BYTES,
  answers: {
    201: {
      what: 'They are stored as proposed',
      schema: z.object({
        id: z.string(),
        digest: z.string(),
        baseDigest: z.string(),
        changes: z.array(FileChange),
        approval: z.string().nullable().describe('The request for approval that was made; null where no rule asks for one.'),
      }),
    },
  },
  problems: ['policy_invalid', 'wrong_state', 'unavailable'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => ({
    status: 201,
    body: await proposePolicies(parts.store, ctx, may, principal, { files: body.files, words: body.reason }),
  }),
})

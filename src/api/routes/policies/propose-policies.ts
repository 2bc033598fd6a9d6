import { z } from 'zod'
import { proposePolicies } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Reason } from '../../views.ts'
import { BothHands, FILES_BYTES, FileChange, Files, firstBothHands } from './schemas.ts'

export const proposePoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies',
  summary: 'Proposes policies, laid over the default set. They decide nothing until they are approved.',
  action: 'policy:propose',
  body: z.strictObject({
    files: Files,
    reason: Reason,
    force: z.boolean().default(false).describe('Although somebody then holds directory rights and credential rights together.'),
  }),
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
        bothHands: BothHands,
        activation: z.object({
          rule: z.boolean().describe('A rule names who approves; the request says who they are.'),
          approvers: z.array(z.string()).describe('People of whom one is enough where no rule asks for more; the first twenty.'),
          bypassers: z.array(z.string()).describe('People who may bring it into force alone, with a reason; the first twenty.'),
          words: z.string(),
        }),
      }),
    },
  },
  problems: ['policy_invalid', 'wrong_state', 'unavailable'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    const { files, reason: words, force } = body
    const made = await proposePolicies(parts.store, ctx, may, principal, { files, words, force })
    const { approvers, bypassers } = made.activation
    const activation = { ...made.activation, approvers: [...approvers], bypassers: [...bypassers] }
    return { status: 201, body: { ...made, activation, bothHands: firstBothHands(made.bothHands) } }
  },
})

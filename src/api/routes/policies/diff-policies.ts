import { z } from 'zod'
import { diffPolicies } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { BothHands, FILES_BYTES, FileChange, Files, firstBothHands } from './schemas.ts'

export const diffPoliciesRoute = route({
  method: 'POST',
  path: '/v1/policies/diff',
  summary: 'Checks policies, laid over the default set, and says what they would change. Stores nothing.',
  action: 'policy:propose',
  body: z.strictObject({ files: Files }),
  bodyBytes: FILES_BYTES,
  answers: {
    200: {
      what: 'They have no fault',
      schema: z.object({ digest: z.string(), baseDigest: z.string(), changes: z.array(FileChange), bothHands: BothHands }),
    },
  },
  problems: ['policy_invalid', 'wrong_state', 'unavailable'],
  handle: async ({ parts, ctx, may, body }) => {
    const { digest, baseDigest, changes, bothHands } = await diffPolicies(parts.store, ctx, may, body.files)
    return { status: 200, body: { digest, baseDigest, changes, bothHands: firstBothHands(bothHands) } }
  },
})

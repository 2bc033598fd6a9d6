import { z } from 'zod'
import { answerChallenge } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'

/** HMAC-SHA-256 is 32 bytes; anything up to this is looked at and refused as a wrong proof. */
const PROOF_CHARS = 128

export const answerChallengeRoute = route({
  method: 'POST',
  path: '/v1/challenges/:id/answer',
  summary: 'The proof: HMAC-SHA-256 over the nonce, keyed with the new value. A wrong one uses the challenge up.',
  action: 'consumer:report',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ proof: z.base64().min(4).max(PROOF_CHARS) }),
  answers: { 204: { what: 'It was right and is recorded', schema: null } },
  problems: ['not_found', 'wrong_state', 'conflict', 'proof_refused'],
  handle: async ({ parts, ctx, may, params, body }) => {
    await answerChallenge(parts, ctx, may, params.id, Buffer.from(body.proof, 'base64'))
    return { status: 204 }
  },
})

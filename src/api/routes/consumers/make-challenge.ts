import { z } from 'zod'
import { makeChallenge } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

const Challenge = z.object({ challenge: z.string(), nonce: z.base64(), expiresAt: z.iso.datetime() })

export const makeChallengeRoute = route({
  method: 'POST',
  path: '/v1/credentials/:name/consumers/:consumer/challenges',
  summary: 'A challenge by which a consumer proves that it has the new value.',
  action: 'consumer:report',
  params: z.strictObject({ name: Name, consumer: Name }),
  answers: { 201: { what: 'The challenge, good for one answer', schema: Challenge } },
  problems: ['not_found', 'wrong_state', 'conflict'],
  handle: async ({ parts, ctx, may, params }) => {
    const { id: challenge, nonce, expiresAt } = await makeChallenge(parts, ctx, may, params.name, params.consumer)
    return { status: 201, body: { challenge, nonce: Buffer.from(nonce).toString('base64'), expiresAt: expiresAt.toISOString() } }
  },
})

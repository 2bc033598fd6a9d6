import { z } from 'zod'
import { beginStepUp } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { text } from '../../views.ts'
import { Challenge, challengeView } from '../passkeys/views.ts'

const Asked = Challenge.extend({ words: z.string().describe('What is confirmed, to be shown to the person.') }).meta({
  id: 'StepUpChallenge',
})

const Act = z.strictObject({
  action: text(100).describe('Of the list of actions, such as approval:decide.'),
  subject: text(200).describe('Id of what it is done to; of a decision on a request `approve:ID` or `reject:ID`.'),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe('SHA-256 of what exactly is confirmed, hex.'),
})

export const beginStepUpRoute = route({
  method: 'POST',
  path: '/v1/step-up/begin',
  summary: 'Begins a step-up with one of your own passkeys: for a better login, or to confirm one act with one content.',
  action: 'passkey:read',
  body: z.strictObject({ act: Act.optional() }).optional(),
  answers: { 200: { what: 'The challenge, good for five minutes', schema: Asked } },
  problems: ['wrong_state'],
  handle: async ({ parts, ctx, browser, body }) => {
    const asked = await beginStepUp(parts, ctx, browser(), body?.act ?? null)
    return { status: 200, body: { ...challengeView(asked), words: asked.words } }
  },
})

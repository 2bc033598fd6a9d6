import { z } from 'zod'
import { finishStepUp } from '../../../identity/login/index.ts'
import { loginCookies } from '../../browser.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { PasskeyResponse } from '../passkeys/views.ts'
import { Started, startedView } from '../sessions/views.ts'

const SteppedUp = Started.extend({
  proof: z.string().nullable().describe('Good once, for the act that was confirmed, for five minutes.'),
}).meta({
  id: 'SteppedUpSession',
})

export const finishStepUpRoute = route({
  method: 'POST',
  path: '/v1/step-up/finish',
  summary: 'Finishes a step-up: a session of the level of the passkey takes the place of the one that asked.',
  action: 'passkey:read',
  body: z.strictObject({ challenge: Id, response: PasskeyResponse }),
  answers: { 200: { what: 'Stepped up; the new session is in a cookie', schema: SteppedUp } },
  problems: ['wrong_state'],
  handle: async ({ parts, ctx, browser, body }) => {
    const asking = browser()
    const done = await finishStepUp(parts, ctx, asking, body.challenge, body.response)
    return { status: 200, body: { ...startedView(done), proof: done.proof }, headers: loginCookies(asking, done) }
  },
})

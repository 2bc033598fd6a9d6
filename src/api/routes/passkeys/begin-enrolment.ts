import { z } from 'zod'
import { beginEnrolment } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Challenge, challengeView, PasskeyName } from './views.ts'

export const beginEnrolmentRoute = route({
  method: 'POST',
  path: '/v1/passkeys/enrol/begin',
  summary: 'Begins the enrolment of a passkey by who is logged in: freshly, and as well as their best passkey can, AAL2 at least.',
  action: 'passkey:enrol',
  body: z.strictObject({ name: PasskeyName }),
  answers: { 200: { what: 'The challenge, good for five minutes', schema: Challenge } },
  problems: ['wrong_state'],
  handle: async ({ parts, ctx, may, browser, body }) => {
    return { status: 200, body: challengeView(await beginEnrolment(parts, ctx, may, browser(), body.name)) }
  },
})

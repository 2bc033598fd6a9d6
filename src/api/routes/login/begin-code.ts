import { z } from 'zod'
import { beginCodeEnrolment } from '../../../identity/login/index.ts'
import { flowCookie } from '../../browser.ts'
import { route } from '../../route.ts'
import { text } from '../../views.ts'
import { Challenge, challengeView, PasskeyName } from '../passkeys/views.ts'

export const beginCodeRoute = route({
  method: 'POST',
  path: '/v1/login/enrol/begin',
  summary: 'Begins the enrolment of a first passkey by a one-time code. The code is used up only by an enrolment that succeeds.',
  action: null,
  ownPages: true,
  body: z.strictObject({ code: text(100), name: PasskeyName }),
  answers: { 200: { what: 'The challenge, good for five minutes', schema: Challenge } },
  problems: ['unauthenticated'],
  handle: async ({ parts, ctx, body, browser }) => {
    const asking = browser()
    const { asked, flow } = await beginCodeEnrolment(parts, ctx, asking, body.code, body.name)
    return { status: 200, body: challengeView(asked), headers: flowCookie(asking, flow) }
  },
})

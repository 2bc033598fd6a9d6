import { z } from 'zod'
import { finishCodeEnrolment } from '../../../identity/login/index.ts'
import { loginCookies } from '../../browser.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { EnrolmentResponse } from '../passkeys/views.ts'
import { Started, startedView } from '../sessions/views.ts'

export const finishCodeRoute = route({
  method: 'POST',
  path: '/v1/login/enrol/finish',
  summary: 'Finishes the enrolment by code: the passkey is kept, the code used up and a session begun.',
  action: null,
  ownPages: true,
  body: z.strictObject({ challenge: Id, response: EnrolmentResponse }),
  answers: { 201: { what: 'Enrolled and logged in; the session is in a cookie', schema: Started } },
  problems: ['unauthenticated', 'conflict'],
  handle: async ({ parts, ctx, body, browser }) => {
    const asking = browser()
    const done = await finishCodeEnrolment(parts, ctx, asking, body.challenge, body.response)
    return { status: 201, body: startedView(done), headers: loginCookies(asking, done) }
  },
})

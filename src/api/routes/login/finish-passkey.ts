import { z } from 'zod'
import { finishPasskeyLogin } from '../../../identity/login/index.ts'
import { loginCookies } from '../../browser.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { PasskeyResponse } from '../passkeys/views.ts'
import { Started, startedView } from '../sessions/views.ts'

export const finishPasskeyRoute = route({
  method: 'POST',
  path: '/v1/login/passkey/finish',
  summary: 'Finishes a login by passkey with what the authenticator answered.',
  action: null,
  ownPages: true,
  body: z.strictObject({ challenge: Id, response: PasskeyResponse }),
  answers: { 200: { what: 'Logged in; the session is in a cookie', schema: Started } },
  problems: ['unauthenticated'],
  handle: async ({ parts, ctx, body, browser }) => {
    const asking = browser()
    const done = await finishPasskeyLogin(parts, ctx, asking, body.challenge, body.response)
    return { status: 200, body: startedView(done), headers: loginCookies(asking, done) }
  },
})

import { z } from 'zod'
import { finishOidcLogin } from '../../../identity/login/index.ts'
import { loginCookies } from '../../browser.ts'
import { route } from '../../route.ts'
import { text } from '../../views.ts'
import { Started, startedView } from '../sessions/views.ts'

export const finishOidcRoute = route({
  method: 'POST',
  path: '/v1/login/oidc/finish',
  summary: 'Finishes a login with what the provider sent back to its page, /login/callback/PROVIDER: query or fragment, without ? or #.',
  action: null,
  ownPages: true,
  body: z.strictObject({ provider: text(200), response: text(8_000) }),
  answers: { 200: { what: 'Logged in; the session is in a cookie', schema: Started } },
  problems: ['unauthenticated'],
  handle: async ({ parts, ctx, body, browser }) => {
    const asking = browser()
    const done = await finishOidcLogin(parts, ctx, asking, body.provider, body.response)
    return { status: 200, body: startedView(done), headers: loginCookies(asking, done) }
  },
})

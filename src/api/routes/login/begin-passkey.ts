import { z } from 'zod'
import { beginPasskeyLogin } from '../../../identity/login/index.ts'
import { flowCookie } from '../../browser.ts'
import { route } from '../../route.ts'
import { Challenge, challengeView } from '../passkeys/views.ts'

export const beginPasskeyRoute = route({
  method: 'POST',
  path: '/v1/login/passkey/begin',
  summary: 'Begins a login by passkey. Nobody is named: the authenticator knows whose it is.',
  action: null,
  ownPages: true,
  body: z.strictObject({}).optional(),
  answers: { 200: { what: 'The challenge, good for five minutes', schema: Challenge } },
  problems: [],
  handle: async ({ parts, ctx, browser }) => {
    const asking = browser()
    const { asked, flow } = await beginPasskeyLogin(parts, ctx, asking)
    return { status: 200, body: challengeView(asked), headers: flowCookie(asking, flow) }
  },
})

import { z } from 'zod'
import { endSession } from '../../../identity/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { logoutCookies } from '../../browser.ts'
import { route } from '../../route.ts'

export const logOutRoute = route({
  method: 'POST',
  path: '/v1/session/end',
  summary: 'Ends the session that asks, and takes its cookie away.',
  action: 'session:end',
  answers: { 200: { what: 'Logged out', schema: z.object({ session: z.string() }) } },
  problems: ['wrong_state', 'not_found'],
  handle: async ({ parts, ctx, may, session, browser }) => {
    if (session === null) throw new RekeyError('wrong_state', 'A token has no session.')
    await endSession(parts.store, ctx, may, session.session, 'logged out')
    return { status: 200, body: { session: session.session }, headers: logoutCookies(browser()) }
  },
})

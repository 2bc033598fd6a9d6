import { z } from 'zod'
import { beginHandSession } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Started, startedView } from './views.ts'

export const beginSessionRoute = route({
  method: 'POST',
  path: '/v1/session/command-line',
  summary: 'Begins another session of who is logged in, for the command line: as good and as old as the one that asks. It is shown once.',
  action: 'session:begin',
  answers: {
    201: {
      what: 'Begun',
      schema: Started.extend({ token: z.string().describe('Sent as Authorization: Bearer.') }).meta({ id: 'CommandLineSession' }),
    },
  },
  problems: ['wrong_state'],
  handle: async ({ parts, ctx, may, session }) => {
    const begun = await beginHandSession(parts.store, ctx, may, session)
    return { status: 201, body: { ...startedView({ session: begun }), token: begun.token.revealText((text) => text) } }
  },
})

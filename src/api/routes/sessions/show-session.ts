import { z } from 'zod'
import { type Action, PRINCIPAL_KINDS } from '../../../policy/index.ts'
import { route } from '../../route.ts'

/** What the pages have rooms and buttons for. */
const ASKED = [
  'approval:bypass',
  'finding:read',
  'identity:read',
  'policy:approve',
  'policy:bypass',
  'policy:read',
  'usable:read',
] as const satisfies readonly Action[]

const Me = z
  .object({
    id: z.string(),
    kind: z.enum(PRINCIPAL_KINDS),
    name: z.string(),
    roles: z.array(z.string()),
    aal: z.int(),
    authenticatedAt: z.iso.datetime().nullable(),
    session: z.string().nullable().describe('Null for a token.'),
    may: z.array(z.enum(ASKED)).describe('Which of these the policies in force let whoever asks do, at once or after a better login.'),
  })
  .meta({ id: 'Me' })

export const showSessionRoute = route({
  method: 'GET',
  path: '/v1/session',
  summary: 'Who is asking, and by what.',
  action: 'session:read',
  answers: { 200: { what: 'The principal of this request', schema: Me } },
  problems: [],
  handle: async ({ parts, ctx, principal, session }) => {
    const { id, kind, name, roles, aal, authenticatedAt } = principal
    const at = authenticatedAt?.toISOString() ?? null
    const may = ASKED.filter((action) => {
      const { allowed, stepUp } = parts.policies.explain(ctx, principal, action)
      return allowed || stepUp !== null
    })
    const body = { id, kind, name, roles: [...roles], aal, authenticatedAt: at, session: session?.session ?? null, may }
    return { status: 200, body }
  },
})

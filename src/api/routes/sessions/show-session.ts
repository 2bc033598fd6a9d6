import { z } from 'zod'
import { PRINCIPAL_KINDS } from '../../../policy/index.ts'
import { route } from '../../route.ts'

const Me = z
  .object({
    id: z.string(),
    kind: z.enum(PRINCIPAL_KINDS),
    name: z.string(),
    roles: z.array(z.string()),
    aal: z.int(),
    authenticatedAt: z.iso.datetime().nullable(),
    session: z.string().nullable().describe('Null for a token.'),
  })
  .meta({ id: 'Me' })

export const showSessionRoute = route({
  method: 'GET',
  path: '/v1/session',
  summary: 'Who is asking, and by what.',
  action: 'session:read',
  answers: { 200: { what: 'The principal of this request', schema: Me } },
  problems: [],
  handle: async ({ principal, session }) => {
    const { id, kind, name, roles, aal, authenticatedAt } = principal
    const at = authenticatedAt?.toISOString() ?? null
    return { status: 200, body: { id, kind, name, roles: [...roles], aal, authenticatedAt: at, session: session?.session ?? null } }
  },
})

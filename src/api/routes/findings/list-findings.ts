import { z } from 'zod'
import { FINDING_KINDS, listFindings } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery } from '../../views.ts'
import { Human } from '../closures/views.ts'

const Kind = z.enum(FINDING_KINDS)
const Severity = z.enum(['high', 'medium', 'low'])

const Found = z
  .object({
    finding: z.string().describe('Stable: the same matter has the same id tomorrow.'),
    kind: Kind,
    severity: Severity,
    control: z.string().describe('OWASP NHI Top 10, 2025.'),
    subject: z.string(),
    system: z.string().nullable(),
    identity: z.string().nullable(),
    owner: Human.describe('Whom to ask.'),
    detail: z.string(),
    action: z.string(),
    since: z.iso.datetime(),
  })
  .meta({ id: 'Finding' })

export const listFindingsRoute = route({
  method: 'GET',
  path: '/v1/findings',
  summary: 'What somebody should do something about, each with an owner to ask. A page may be short, or empty, while there is more.',
  action: 'finding:read',
  query: z.strictObject({ ...pageQuery, kind: Kind.optional(), severity: Severity.optional() }),
  answers: { 200: { what: 'One page', schema: pageOf(Found) } },
  problems: [],
  handle: async ({ parts, may, query }) => ({ status: 200, body: await listFindings(parts.store, may, query) }),
})

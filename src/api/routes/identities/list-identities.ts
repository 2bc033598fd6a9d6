import { z } from 'zod'
import { IDENTITY_STATUSES, readIdentities } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, pageOf, pageQuery, text } from '../../views.ts'
import { defined, Identity, IdentityKind, identityView, labelOf } from './views.ts'

export const listIdentitiesRoute = route({
  method: 'GET',
  path: '/v1/identities',
  summary: 'Identities by name, in code point order. All filters that are given must hold, of what may be read.',
  action: 'identity:read',
  query: z.strictObject({
    ...pageQuery,
    kind: IdentityKind.optional(),
    status: z.enum(IDENTITY_STATUSES).optional(),
    owner: Name.optional().describe('Id or name of a person or team, or a declared owner that names nobody.'),
    team: Name.optional().describe('Id or name of a team: its members, through any depth of nesting.'),
    environment: Name.optional(),
    tenancy: Name.optional(),
    source: Name.optional(),
    label: text(300).optional().describe('key=value'),
    prefix: Name.optional().describe('How the name begins, in this case.'),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Identity) } },
  problems: [],
  handle: async ({ parts, ctx, may, query: { after, limit, label, ...filter } }) => {
    const page = defined({ after, limit })
    const { items, next } = await readIdentities(parts, ctx, may, { ...defined(filter), ...labelOf(label) }, page)
    return { status: 200, body: { items: items.map(identityView), next } }
  },
})

import { z } from 'zod'
import { IDENTITY_STATUSES, listIdentities } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, Name, pageOf, pageQuery, text } from '../../views.ts'
import { Identity, IdentityKind, identityView, labelOf } from './views.ts'

export const listIdentitiesRoute = route({
  method: 'GET',
  path: '/v1/identities',
  summary: 'Identities by name. A page holds fewer than its limit where some are not to be seen.',
  action: 'identity:read',
  query: z.strictObject({
    ...pageQuery,
    kind: IdentityKind.optional(),
    status: z.enum(IDENTITY_STATUSES).optional(),
    owner: Name.optional(),
    team: Name.optional(),
    environment: Name.optional(),
    tenancy: Name.optional(),
    source: Name.optional(),
    label: text(300).optional(),
    prefix: Name.optional(),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Identity) } },
  problems: [],
  handle: async ({ parts, may, query: { after, limit, label, ...filter } }) => {
    const found = await listIdentities(parts.store, { ...filter, ...labelOf(label) }, { after, limit: limit + 1 })
    const { items, next } = cut(found.map(identityView), limit, (last) => last.name)
    const seen = items.filter(({ id, environment, kind }) => may.can({ type: 'identity', id, environment, kind }))
    return { status: 200, body: { items: seen, next } }
  },
})

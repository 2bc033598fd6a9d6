import { z } from 'zod'
import { IDENTITY_STATUSES, listIdentities } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, Name, pageOf, pageQuery, text } from '../../views.ts'
import { Identity, IdentityKind, identityView, labelOf } from './views.ts'

export const listIdentitiesRoute = route({
  method: 'GET',
  path: '/v1/identities',
  summary: 'Identities by name.',
<<<<<<< HEAD
  action: 'inventory:read',
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
  handle: async ({ parts, query: { after, limit, label, ...filter } }) => {
    const found = await listIdentities(parts.store, { ...filter, ...labelOf(label) }, { after, limit: limit + 1 })
    return { status: 200, body: cut(found.map(identityView), limit, (last) => last.name) }
=======
  action: 'identity:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(View) } },
  problems: [],
  handle: async ({ parts, may, query }) => {
    const all = await listIdentities(parts.store)
    const seen = all.filter(({ id, environment, kind }) => may.can({ type: 'identity', id, environment, kind }))
    return { status: 200, body: slicePage(seen, query, (it) => it.name) }
>>>>>>> 7e956ba (Policy sets and role bindings as rows, with events; resources checked where rotations touch them)
  },
})

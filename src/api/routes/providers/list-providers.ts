import { z } from 'zod'
import { listProviders } from '../../../identity/scim/index.ts'
import { route } from '../../route.ts'
import { cut, pageOf, pageQuery } from '../../views.ts'

const Provider = z
  .object({
    id: z.string(),
    name: z.string(),
    tenancy: z.string(),
    offboardAfterSeconds: z.int(),
    createdAt: z.iso.datetime(),
    users: z.int(),
    groups: z.int(),
    tokens: z.int().describe('Tokens that are good now; 0 after it was revoked.'),
    oldTokenEndsAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable().describe('To the minute.'),
  })
  .meta({ id: 'ScimProvider' })

export const listProvidersRoute = route({
  method: 'GET',
  path: '/v1/scim/providers',
  summary: 'Identity providers that push by SCIM, never their tokens.',
  action: 'scim:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page, by name', schema: pageOf(Provider) } },
  problems: [],
  handle: async ({ parts, ctx, may, query }) => {
    const found = await listProviders(parts.store, ctx, may, { after: query.after, limit: query.limit + 1 })
    const views = found.map((one) => ({
      ...one,
      createdAt: one.createdAt.toISOString(),
      oldTokenEndsAt: one.oldTokenEndsAt?.toISOString() ?? null,
      lastUsedAt: one.lastUsedAt?.toISOString() ?? null,
    }))
    return { status: 200, body: cut(views, query.limit, ({ name }) => name) }
  },
})

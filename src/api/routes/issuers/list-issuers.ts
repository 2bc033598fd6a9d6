import { z } from 'zod'
import { readIssuers } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { cut, pageOf, pageQuery } from '../../views.ts'
import { Issuer, issuerView } from './views.ts'

export const listIssuersRoute = route({
  method: 'GET',
  path: '/v1/issuers',
  summary: 'Issuers whose signed tokens count.',
  action: 'issuer:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page, by name', schema: pageOf(Issuer) } },
  problems: [],
  handle: async ({ parts, may, query }) => {
    const found = await readIssuers(parts.store, may, query.after ?? '', query.limit + 1)
    return { status: 200, body: cut(found.map(issuerView), query.limit, ({ name }) => name) }
  },
})

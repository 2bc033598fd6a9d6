import { z } from 'zod'
import { listLoginProviders } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'
import { Provider, providerView } from './provider.views.ts'

export const listLoginProvidersRoute = route({
  method: 'GET',
  path: '/v1/login/providers',
  summary: 'Providers at which people log in, never their secrets.',
  action: 'login:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page, by name', schema: pageOf(Provider) } },
  problems: [],
  handle: async ({ parts, ctx, may, query }) => {
    const found = (await listLoginProviders(parts.store, ctx, may)).map(providerView)
    return { status: 200, body: slicePage(found, query, ({ name }) => name) }
  },
})

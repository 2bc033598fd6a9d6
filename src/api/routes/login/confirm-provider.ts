import { confirmLoginProvider } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { CONFIRM, confirms } from '../confirm.ts'

export const confirmLoginProviderRoute = route({
  ...CONFIRM,
  path: '/v1/login/providers/:name/confirm',
  summary: confirms('the login provider with its links'),
  action: 'login:configure',
  handle: async ({ parts, ctx, may, principal, params: { name }, body }) => {
    await confirmLoginProvider(parts.store, ctx, may, { by: principal, name, reason: body.reason })
    return { status: 200, body: { name } }
  },
})

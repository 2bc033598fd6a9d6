import { confirmIssuer } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { CONFIRM, confirms } from '../confirm.ts'

export const confirmIssuerRoute = route({
  ...CONFIRM,
  path: '/v1/issuers/:name/confirm',
  summary: confirms('the issuer with its rules'),
  action: 'issuer:configure',
  handle: async ({ parts, ctx, may, principal, params: { name }, body }) => {
    await confirmIssuer(parts.store, ctx, may, { by: principal, name, reason: body.reason })
    return { status: 200, body: { name } }
  },
})

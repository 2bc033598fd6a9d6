import { z } from 'zod'
import { beginOidcLogin } from '../../../identity/login/index.ts'
import { flowCookie } from '../../browser.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const beginOidcRoute = route({
  method: 'POST',
  path: '/v1/login/oidc/begin',
  summary: 'Begins a login at a provider; the page then goes to the url. With a session: a stronger or fresher login in its place.',
  action: null,
  ownPages: true,
  body: z.strictObject({
    provider: Name,
    aal: z
      .union([z.literal(1), z.literal(2), z.literal(3)])
      .optional()
      .describe('The least assurance level that is wanted.'),
    maxAgeSeconds: z.int().min(0).max(86_400).optional().describe('How old the login may be.'),
  }),
  answers: { 200: { what: 'Where to go', schema: z.object({ url: z.url() }) } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, body, browser }) => {
    const asking = browser()
    const { url, flow } = await beginOidcLogin(parts, ctx, asking, body)
    return { status: 200, body: { url }, headers: flowCookie(asking, flow) }
  },
})

import { z } from 'zod'
import { addLoginProvider } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name, SecretValue, text } from '../../views.ts'
import { Auth, Provider, providerView, Worth } from './provider.views.ts'

export const addLoginProviderRoute = route({
  method: 'POST',
  path: '/v1/login/providers',
  summary: 'Adds an OpenID provider at which people log in, after its discovery document was read.',
  action: 'login:configure',
  body: z.strictObject({
    name: Name,
    issuer: text(500),
    clientId: text(500),
    auth: Auth,
    secret: SecretValue.optional().describe('Base64 of the client secret, or of the private JWK.'),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/))
      .max(20)
      .optional(),
    acr: Worth.optional(),
    amr: Worth.optional(),
    aal: z.union([z.literal(1), z.literal(2)]).optional(),
    maxAgeSeconds: z.int().min(0).max(86_400).optional(),
    linkByEmail: z.boolean().optional(),
  }),
  answers: { 201: { what: 'The provider', schema: Provider } },
  problems: ['conflict', 'kek_unavailable', 'approval_required'],
  handle: async ({ parts, ctx, may, principal, body }) => ({
    status: 201,
    body: providerView(await addLoginProvider(parts, ctx, may, principal, body)),
  }),
})

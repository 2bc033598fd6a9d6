import { z } from 'zod'
import type { LoginProvider } from '../../../identity/login/index.ts'

export const Worth = z.record(z.string().min(1).max(200), z.union([z.literal(1), z.literal(2), z.literal(3)]))
/** What becomes of passkeys that were enrolled in logins by a link that goes. */
export const Passkeys = z
  .enum(['remove', 'keep'])
  .optional()
  .describe('Of passkeys that were enrolled in logins by the link that goes; refused without it where there are any.')
export const Auth = z.enum(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'])

export const Provider = z
  .object({
    name: z.string(),
    issuer: z.string(),
    clientId: z.string(),
    redirectPath: z.string().describe('Where the provider sends people back to, below the public origin.'),
    auth: Auth,
    scopes: z.array(z.string()),
    acr: Worth.describe('What its acr values are worth: assurance levels.'),
    amr: Worth.describe('What its amr values are worth.'),
    aal: z.int().describe('What a login is worth that names none of them.'),
    maxAgeSeconds: z.int(),
    linkByEmail: z.boolean(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'LoginProvider' })

export function providerView({ createdAt, scopes, ...rest }: LoginProvider): z.output<typeof Provider> {
  return { ...rest, scopes: [...scopes], createdAt: createdAt.toISOString() }
}

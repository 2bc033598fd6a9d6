import { z } from 'zod'
import { mapIssuer } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { Claims, Environments, Scope } from './views.ts'

export const mapIssuerRoute = route({
  method: 'POST',
  path: '/v1/issuers/:name/rules',
  summary: "Lets claims of an issuer's tokens stand for an identity. A token that fits two rules is refused.",
  action: 'issuer:configure',
  params: z.strictObject({ name: Name }),
  body: z.strictObject({
    identity: Name.describe('Id or name.'),
    part: z.enum(['subject', 'actor']).default('subject').describe('actor: claims of `act`, which stand for an agent.'),
    claims: Claims.default({}),
    prefixes: Claims.default({}).describe('Claims that need only begin so, up to a / or :. A weakness, and shown as one.'),
    scope: Scope.optional(),
    environments: Environments.optional(),
    actsFor: Name.optional().describe('For whom an agent acts whose tokens do not say so.'),
    hardware: z.boolean().default(false).describe('The claims say that the key of a bound token lies in hardware.'),
  }),
  answers: { 201: { what: 'The rule counts', schema: z.object({ id: z.string() }) } },
  problems: ['not_found', 'conflict', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => {
    const { scope = null, environments = null, actsFor = null, ...rest } = body
    const id = await mapIssuer(parts.store, ctx, may, principal, { ...rest, issuer: params.name, scope, environments, actsFor })
    return { status: 201, body: { id } }
  },
})

import { z } from 'zod'
import { addIssuer } from '../../../identity/index.ts'
import type { Json } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { text } from '../../views.ts'
import { IssuerFields } from './views.ts'

const Keys = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('discovery') }),
  z.strictObject({ from: z.literal('url'), url: text(2_000) }),
  z.strictObject({ from: z.literal('inline'), jwks: z.looseObject({ keys: z.array(z.looseObject({ kty: text(20) })).max(100) }) }),
])
const { type, origin, audience, algorithms, maxTokenAgeSeconds, clockSkewSeconds, keysMaxAgeSeconds, replay } = IssuerFields

export const addIssuerRoute = route({
  method: 'POST',
  path: '/v1/issuers',
  summary: 'Trusts an issuer of signed tokens. Whom its tokens stand for, rules say.',
  action: 'issuer:configure',
  body: z.strictObject({
    name: text(60),
    type,
    origin,
    audience,
    keys: Keys.describe('Where its public keys come from.'),
    algorithms: algorithms.optional(),
    maxTokenAgeSeconds: maxTokenAgeSeconds.optional().describe('10 minutes unless given; an hour for Kubernetes.'),
    clockSkewSeconds: clockSkewSeconds.optional().describe('30 unless given.'),
    keysMaxAgeSeconds: keysMaxAgeSeconds.optional(),
    replay: replay.optional(),
  }),
  answers: { 201: { what: 'It is trusted', schema: z.object({ id: z.string(), name: z.string() }) } },
  problems: ['conflict', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    // Sound: the body came as JSON.
    const keys = body.keys.from === 'inline' ? { from: body.keys.from, jwks: body.keys.jwks as Json } : body.keys
    const { id, name } = await addIssuer(parts.store, ctx, may, principal, { ...given(body), keys })
    return { status: 201, body: { id, name } }
  },
})

/** Without what was left out. */
function given<T extends object>(body: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> }
}

import { z } from 'zod'
import { bootstrapAdmin } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

const Code = z
  .object({
    identity: z.string(),
    name: z.string(),
    code: z.string().describe('Shown once. Typed on the login page, or in the fragment of its address; never in a query.'),
    url: z.string().nullable().describe('The login page with the code in its fragment; null if the server does not know its own address.'),
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'EnrolmentCode' })

/** The code is shown in the answer only, so no `Idempotency-Key` keeps it. */
export const bootstrapRoute = route({
  method: 'POST',
  path: '/v1/login/bootstrap',
  summary: 'Makes a local administrator and a one-time code by which they enrol a passkey; again, another code if there is none yet.',
  action: 'login:configure',
  body: z.strictObject({ name: Name }),
  answers: { 201: { what: 'The code, good once and for ten minutes', schema: Code } },
  problems: ['conflict', 'approval_required'],
  handle: async ({ parts, ctx, may, principal, session, body, pages }) => {
    const { identity, name, code, expiresAt } = await bootstrapAdmin(
      parts,
      ctx,
      may,
      { principal, session: session?.session ?? null },
      body.name,
    )
    const text = code.revealText((shown) => shown)
    const origin = pages()
    return {
      status: 201,
      body: { identity, name, code: text, url: origin && `${origin}/login#code=${text}`, expiresAt: expiresAt.toISOString() },
    }
  },
})

import { z } from 'zod'
import { closureById, giveUpItem, tellLeaked } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id, Name, Reason } from '../../views.ts'
import { Closure } from './views.ts'

export const resolveClosureRoute = route({
  method: 'POST',
  path: '/v1/closures/:id/resolve',
  summary: "A human's word about one credential: nobody can revoke it, or its value is out and must not be given back.",
  action: 'closure:resolve',
  params: z.strictObject({ id: Id }),
  body: z.strictObject({ credential: Name, kind: z.enum(['irrevocable', 'leaked']), reason: Reason }),
  answers: { 200: { what: 'As it is now', schema: Closure } },
  problems: ['not_found', 'wrong_state'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body: { kind, ...word } }) => {
    await (kind === 'leaked' ? tellLeaked : giveUpItem)(parts, ctx, may, params.id, word)
    return { status: 200, body: await closureById(parts.store, may, params.id) }
  },
})

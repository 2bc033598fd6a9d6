import { z } from 'zod'
import { listMovers } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery } from '../../views.ts'

const Mover = z
  .object({
    id: z.string(),
    identity: z.string(),
    name: z.string().nullable().describe('Null if the identity was removed since.'),
    system: z.string(),
    account: z.string(),
    role: z.string(),
    at: z.iso.datetime(),
    credentials: z.array(z.object({ name: z.string(), advice: z.enum(['narrow', 'rotate']) })),
  })
  .meta({ id: 'Mover' })

export const listMoversRoute = route({
  method: 'GET',
  path: '/v1/movers',
  summary: 'Entitlements that went, each with the credentials that are to be narrowed or rotated, oldest first.',
  action: 'finding:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Mover) } },
  problems: [],
  handle: async ({ parts, may, query: { after, limit } }) => {
    const page = { limit, ...(after !== undefined && { after: Number(after) }) }
    const { items, next } = await listMovers(parts.store, may, page)
    const shown = items.map((it) => ({ ...it, id: String(it.id), at: it.at.toISOString(), credentials: [...it.credentials] }))
    return { status: 200, body: { items: shown, next: next === null ? null : String(next) } }
  },
})

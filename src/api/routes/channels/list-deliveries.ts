import { z } from 'zod'
import { listDeliveries } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, pageOf, pageQuery } from '../../views.ts'
import { Delivery } from './views.ts'

export const listDeliveriesRoute = route({
  method: 'GET',
  path: '/v1/notify/deliveries',
  summary: 'Notices that wait, were sent, failed or were not needed any more, newest first.',
  action: 'notify:read',
  query: z.strictObject({ ...pageQuery, state: z.enum(['waiting', 'sent', 'failed', 'dropped']).optional() }),
  answers: { 200: { what: 'One page', schema: pageOf(Delivery) } },
  problems: [],
  handle: async ({ parts, query }) => {
    const [at, id] = query.after?.split(',') ?? []
    const after = at === undefined || id === undefined || !Id.safeParse(id).success ? null : { at, id }
    const found = await listDeliveries(parts.store, { state: query.state ?? null, after, limit: query.limit + 1 })
    const items = found.slice(0, query.limit).map((one) => ({
      ...one,
      createdAt: one.createdAt.toISOString(),
      sentAt: one.sentAt?.toISOString() ?? null,
    }))
    const last = items.at(-1)
    return { status: 200, body: { items, next: found.length > query.limit && last ? `${last.createdAt},${last.id}` : null } }
  },
})

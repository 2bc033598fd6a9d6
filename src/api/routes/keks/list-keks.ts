import { z } from 'zod'
import { listKeks } from '../../../keys/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'

const Kek = z.object({
  id: z.string(),
  kind: z.enum(['file', 'passphrase']),
  state: z.enum(['active', 'retiring', 'retired']),
  createdAt: z.iso.datetime(),
})

export const listKeksRoute = route({
  method: 'GET',
  path: '/v1/keks',
  summary: 'Key-encryption keys: which there are and were, never the keys.',
  action: 'kek:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page, oldest first', schema: pageOf(Kek) } },
  problems: [],
  handle: async ({ parts, query }) => {
    const found = await listKeks(parts.store)
    const views = found.map(({ id, kind, state, created_at }) => ({ id, kind, state, createdAt: created_at.toISOString() }))
    return { status: 200, body: slicePage(views, query, (it) => it.id) }
  },
})

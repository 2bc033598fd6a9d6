import { z } from 'zod'
import { readChannels } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { pageOf, pageQuery, slicePage } from '../../views.ts'
import { Channel } from './views.ts'

export const listChannelsRoute = route({
  method: 'GET',
  path: '/v1/notify/channels',
  summary: 'Where notices of approvals go, without secrets.',
  action: 'notify:read',
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Channel) } },
  problems: [],
  handle: async ({ parts, query }) => ({ status: 200, body: slicePage(await readChannels(parts.store), query, ({ name }) => name) }),
})

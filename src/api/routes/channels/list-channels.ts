import { z } from 'zod'
import { readChannels } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { pageOf } from '../../views.ts'
import { Channel } from './views.ts'

export const listChannelsRoute = route({
  method: 'GET',
  path: '/v1/notify/channels',
  summary: 'Where notices of approvals go, without secrets.',
  action: 'notify:read',
  query: z.strictObject({}),
  answers: { 200: { what: 'All of them', schema: pageOf(Channel) } },
  problems: [],
  handle: async ({ parts }) => ({ status: 200, body: { items: await readChannels(parts.store), next: null } }),
})

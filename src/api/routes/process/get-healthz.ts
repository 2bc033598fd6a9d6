import { z } from 'zod'
import { route } from '../../route.ts'

export const getHealthz = route({
  method: 'GET',
  path: '/healthz',
  summary: 'Whether the process lives.',
  action: null,
  answers: { 200: { what: 'It lives', schema: z.object({ status: z.literal('ok') }) } },
  problems: [],
  unlimited: true,
  handle: async () => ({ status: 200, body: { status: 'ok' } }),
})

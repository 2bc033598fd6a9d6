import { z } from 'zod'
import { PROBES_MAX, probeUsable } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'

export const probeUsableRoute = route({
  method: 'POST',
  path: '/v1/usable/probe',
  summary: 'Logs in once with each of these versions, as a consumer would, and keeps the answers. Changes nothing on any system.',
  action: 'usable:read',
  body: z.strictObject({ versions: z.array(Id).min(1).max(PROBES_MAX) }),
  answers: { 200: { what: 'How many were tried; see /v1/usable', schema: z.object({ tried: z.int() }) } },
  problems: [],
  startsWork: true,
  recordsLate: true,
  handle: async ({ parts, ctx, may, body }) => ({ status: 200, body: { tried: await probeUsable(parts, ctx, may, body.versions) } }),
})

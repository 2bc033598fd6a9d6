import { z } from 'zod'
import { exportBundle } from '../../../evidence/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'

export const exportBundleRoute = route({
  method: 'GET',
  path: '/v1/evidence/bundle',
  summary: 'What is published, as one file that is verified offline.',
  action: 'evidence:read',
  query: z.strictObject({
    credential: Name.optional().describe('Only events of this credential.'),
    since: z.iso.datetime({ offset: true }).optional().describe('Only events at or after this time.'),
  }),
  answers: { 200: { what: 'The bundle', schema: null, type: 'text/html; charset=utf-8' } },
  problems: ['not_found', 'too_large', 'evidence_damaged'],
  handle: async ({ parts, ctx, query }) => {
    const { credential, since } = query
    const options = { ...(credential === undefined ? {} : { credential }), ...(since === undefined ? {} : { since: new Date(since) }) }
    const text = await exportBundle(parts.store, ctx, parts.signer, options)
    return { status: 200, text, headers: { 'content-disposition': 'attachment; filename="rekey-evidence.html"' } }
  },
})

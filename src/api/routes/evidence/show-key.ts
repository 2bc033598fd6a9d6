import { z } from 'zod'
import { publishedKey } from '../../../evidence/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { route } from '../../route.ts'

export const showKey = route({
  method: 'GET',
  path: '/v1/evidence/key',
  summary: 'The public key under which evidence is signed, as a C2SP verifier key.',
  action: 'evidence:read',
  answers: { 200: { what: 'The key', schema: z.object({ key: z.string() }) } },
  problems: ['not_found'],
  handle: async ({ parts }) => {
    const key = await publishedKey(parts.store)
    if (key === null)
      throw new RekeyError('not_found', 'Nothing is published yet.', { hint: 'Evidence is signed a moment after it is written.' })
    return { status: 200, body: { key } }
  },
})

import { z } from 'zod'
import { listKeks, rotateKek } from '../../../keys/index.ts'
import { route } from '../../route.ts'

export const rotateKekRoute = route({
  method: 'POST',
  path: '/v1/keks/rotate',
  summary: 'Makes a new key-encryption key and wraps every data key with it. After a crash: finishes that, and makes no other key.',
  action: 'kek:rotate',
  answers: {
    202: {
      what: 'Every data key is wrapped by `kek`',
      schema: z.object({ kek: z.string(), rewrapped: z.int().describe('Data keys wrapped again.') }),
    },
  },
  problems: ['kek_unavailable', 'sealed_damaged'],
  startsWork: true,
  handle: async ({ parts, ctx }) => {
    const { store, keyring, areas } = parts
    const unfinished = (await listKeks(store)).some(({ state }) => state === 'retiring')
    const rewrapped = await rotateKek({ store, keyring, areas }, ctx, { fresh: !unfinished })
    return { status: 202, body: { kek: keyring.activeId, rewrapped } }
  },
})

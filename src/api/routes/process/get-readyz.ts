import { z } from 'zod'
import { RekeyError, sleep } from '../../../kernel/index.ts'
import { route } from '../../route.ts'

/** A load balancer gives up after a few seconds; a database that takes this long is as good as away. */
const PATIENCE_MS = 2_000

export const getReadyz = route({
  method: 'GET',
  path: '/readyz',
  summary: 'Whether the database answers and has its tables.',
  action: null,
  answers: { 200: { what: 'Ready', schema: z.object({ status: z.literal('ready') }) } },
  problems: ['unavailable'],
  handle: async ({ parts }) => {
    const timer = new AbortController()
    const slow = sleep(PATIENCE_MS, timer.signal).then(() => [])
    const asked = parts.store.query<{ migrated: boolean }>("select to_regclass('rotation') is not null as migrated")
    try {
      const [row] = await Promise.race([asked, slow])
      if (row?.migrated !== true) throw new RekeyError('unavailable', 'The database does not answer or is not migrated.')
      return { status: 200, body: { status: 'ready' } }
    } finally {
      timer.abort()
      asked.catch(() => undefined)
    }
  },
})

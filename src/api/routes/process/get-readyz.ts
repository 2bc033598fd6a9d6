import { z } from 'zod'
import { RekeyError, sleep } from '../../../kernel/index.ts'
import type { ApiParts } from '../../parts.ts'
import { route } from '../../route.ts'

/** A load balancer gives up after a few seconds; a database that takes this long is as good as away. */
const PATIENCE_MS = 2_000
/** The database is asked no more often than this, however many ask us: the route is open and not counted. */
const FRESH_MS = 250

/** The last question of each server, and its answer to come. */
const asked = new WeakMap<ApiParts, Promise<boolean>>()

export const getReadyz = route({
  method: 'GET',
  path: '/readyz',
  summary: 'Whether the database answers and has its tables, and decisions can be made.',
  action: null,
  answers: { 200: { what: 'Ready', schema: z.object({ status: z.literal('ready') }) } },
  problems: ['unavailable'],
  unlimited: true,
  handle: async ({ parts }) => {
    const known = asked.get(parts) ?? ask(parts)
    if (!(await known)) throw new RekeyError('unavailable', 'The database does not answer or is not migrated.')
    if (!parts.policies.isWhole()) throw new RekeyError('unavailable', 'The engine that decides on policies fails again and again.')
    return { status: 200, body: { status: 'ready' } }
  },
})

function ask(parts: ApiParts): Promise<boolean> {
  const answer = isReady(parts)
  asked.set(parts, answer)
  void answer.then(() => sleep(FRESH_MS)).then(() => asked.delete(parts))
  return answer
}

/** Never rejects. */
async function isReady({ store }: ApiParts): Promise<boolean> {
  const timer = new AbortController()
  const slow = sleep(PATIENCE_MS, timer.signal).then(() => [])
  const rows = store.query<{ migrated: boolean }>("select to_regclass('rotation') is not null as migrated")
  const [row] = await Promise.race([rows, slow]).catch(() => [])
  timer.abort()
  rows.catch(() => undefined)
  return row?.migrated === true
}

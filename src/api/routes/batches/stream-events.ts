import { Readable } from 'node:stream'
import { z } from 'zod'
import { resourcesOfBatch } from '../../../credential/index.ts'
import { recordsById } from '../../../identity/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { isMine, type Principal } from '../../../policy/index.ts'
import type { Store } from '../../../store/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'

export const streamEvents = route({
  method: 'GET',
  path: '/v1/batches/:id/events',
  summary: 'Progress of a batch as server-sent events: `progress`, `rotation` for each that ended or is blocked, `done`.',
  action: 'rotation:read',
  params: z.strictObject({ id: Id }),
  answers: { 200: { what: 'The stream', schema: null, type: 'text/event-stream; charset=utf-8' } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, params, principal, batches }) => {
    const touched = await resourcesOfBatch(parts.store, params.id)
    // Of a batch that is not wholly to be seen nothing is, since its counts are of the whole.
    if (touched.length === 0 || !touched.every((resource) => isMine(may, resource)))
      throw new RekeyError('not_found', `No such batch: ${params.id}`)
    const events = batches.follow(ctx, principal.id, params.id, () => text.destroy())
    const text = Readable.from(whileActive(parts.store, principal, events), { objectMode: false, highWaterMark: 64 * 1024 })
    // A proxy that buffers would hold events back until there are many.
    return { status: 200, text, headers: { 'x-accel-buffering': 'no' } }
  },
})

/** A stream outlives the request that opened it: nothing more is told once whoever asked, or for whom an agent asked, is suspended. */
async function* whileActive(store: Store, { identity, actsFor }: Principal, events: AsyncIterable<string>): AsyncGenerator<string> {
  const ids = [...new Set([identity, actsFor?.identity ?? null].flatMap((id) => id ?? []))]
  for await (const text of events) {
    if (ids.length > 0) {
      const records = await recordsById(store, ids)
      if (!ids.every((id) => records.get(id)?.status === 'active')) return
    }
    yield text
  }
}

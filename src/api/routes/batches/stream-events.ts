import { Readable } from 'node:stream'
import { z } from 'zod'
import { resourcesOfBatch } from '../../../credential/index.ts'
import { isCode, RekeyError } from '../../../kernel/index.ts'
import { type Allowed, isMine } from '../../../policy/index.ts'
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
  handle: async ({ parts, ctx, may, params, principal, batches, again }) => {
    const isWhole = async (may: Allowed<'rotation:read'>) => {
      const touched = await resourcesOfBatch(parts.store, params.id)
      // Of a batch that is not wholly to be seen nothing is, since its counts are of the whole.
      return touched.length > 0 && touched.every((resource) => isMine(may, resource))
    }
    if (!(await isWhole(may))) throw new RekeyError('not_found', `No such batch: ${params.id}`)
    let [seen, set] = [JSON.stringify(principal), parts.policies.set]
    const still = async () => {
      const caller = await again()
      if (caller === null) return false
      const now = JSON.stringify(caller.principal)
      // Each credential of a large batch only when something that decides has changed.
      if (now === seen && parts.policies.set === set) return true
      if (!(await isWhole(caller.may).catch(refused))) return false
      seen = now
      set = parts.policies.set
      return true
    }
    const events = batches.follow(ctx, principal.id, params.id, { cut: () => text.destroy(), still })
    const text = Readable.from(events, { objectMode: false, highWaterMark: 64 * 1024 })
    // A proxy that buffers would hold events back until there are many.
    return { status: 200, text, headers: { 'x-accel-buffering': 'no' } }
  },
})

/** A login that is too old by now ends a stream like one that counts no more. */
function refused(error: unknown): false {
  if (isCode(error, 'step_up_required')) return false
  throw error
}

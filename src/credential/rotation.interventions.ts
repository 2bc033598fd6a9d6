import { type EventBody, eventsLinkedTo } from '../evidence/index.ts'
import { LIMITS } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import type { RotationView } from './model.ts'

/** What a human or a program did to a rotation after its start, out of the evidence. */
export interface Intervention {
  readonly what: 'undo' | 'retry' | 'override-activation' | 'irrevocable'
  /** RFC 3339. */
  readonly at: string
  /** Who asked Rekey, as evidence names actors: `token:<id>`, `person:<id>`. */
  readonly actor: string
  /** The human whose word it is, as whoever asked said it; null where nobody is asked for. */
  readonly by: string | null
  readonly reason: string | null
}

/** A rotation as it is shown by itself. */
export interface RotationDetail extends RotationView {
  /** Who started it, with the name at that time: `admin (token:<id>)`; null where the log tells none. */
  readonly orderedBy: string | null
  /** The latest of them (`LIMITS.pageMax`), the oldest first. */
  readonly interventions: readonly Intervention[]
}

const TYPES = ['rotation.planned', 'rotation.undone', 'rotation.undo_requested', 'rotation.retried', 'override.recorded']

/** The rotation with who undid it, tried it again, overrode its activation or gave up its old value, when and why. */
export async function withInterventions(sql: Sql, view: RotationView): Promise<RotationDetail> {
  const of = { log: 'credential', subject: view.credential, link: { what: 'rotation', id: view.rotation }, types: TYPES } as const
  const events = await eventsLinkedTo(sql, of, LIMITS.pageMax)
  const planned = events.find(({ type }) => type === 'rotation.planned')
  return {
    ...view,
    orderedBy: textOf(planned?.data.by),
    interventions: events.flatMap((event) => (event === planned ? [] : (interventionOf(event) ?? []))),
  }
}

function interventionOf({ type, at, actor, data }: EventBody): Intervention | null {
  const what = whatOf(type, data)
  return what && { what, at, actor, by: textOf(data.by), reason: textOf(data.reason) }
}

/** Null for the end of an undo, which a worker reports: the order came before. One that changed nothing yet ends with the order itself. */
function whatOf(type: string, data: EventBody['data']): Intervention['what'] | null {
  if (type === 'rotation.undo_requested') return 'undo'
  if (type === 'rotation.undone') return textOf(data.reason) === null ? null : 'undo'
  if (type === 'rotation.retried') return 'retry'
  return data.kind === 'irrevocable' ? 'irrevocable' : 'override-activation'
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

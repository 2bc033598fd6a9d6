/** Whether closures stand as the log tells, and whether their rows agree with one another. */
import type { EventBody } from '../evidence/index.ts'
import type { Sql } from '../store/index.ts'
import {
  CLOSURE_ENDS,
  type ClosureState,
  closureStateOf,
  ITEM_ENDS,
  ITEM_STATES,
  type ItemState,
  nextItem,
  RELATIONS,
  type Relation,
} from './closure.model.ts'
import { closureRows, itemRows, openRecords, strayClosed } from './fsck.store.ts'

/** Where one credential of a closure stands by its events. */
interface ToldItem {
  state: ItemState
  readonly relation: Relation
  closure: string
  readonly subject: string
}

/** What the log says of closures, folded from its events. */
export interface ToldClosures {
  /** By `keyOf`. */
  readonly items: Map<string, ToldItem>
  /** The state of the whole, and whose it is. */
  readonly closures: Map<string, { state: ClosureState | null; readonly subject: string }>
  /** Exceptions and reviews that are open by the log. */
  readonly open: Map<string, string>
}

export function newToldClosures(): ToldClosures {
  return { items: new Map(), closures: new Map(), open: new Map() }
}

type Report = (where: string, what: string) => void

/** Takes one event in. */
export function followClosures(told: ToldClosures, event: EventBody, report: Report): void {
  const { type, links, data, subject } = event
  const { closure, credential, exception, review } = links
  if (type === 'exception.declared' && exception !== undefined) told.open.set(`exception ${exception}`, subject)
  if (type === 'exception.ended' && exception !== undefined) told.open.delete(`exception ${exception}`)
  if (type === 'review.opened' && review !== undefined) told.open.set(`review ${review}`, subject)
  if (type === 'review.done' && review !== undefined) told.open.delete(`review ${review}`)
  if (closure === undefined) return
  if (type === 'closure.opened') told.closures.set(closure, { state: null, subject })
  const whole = told.closures.get(closure)
  if (type === 'closure.settled' && whole !== undefined) whole.state = data.to as ClosureState
  if (type.startsWith('logins.') && credential !== undefined)
    followItem(told, { type, closure, credential, from: data.from, relation: data.relation, subject }, report)
}

/** A credential has one item at a time of its own; beside that each closure may have it as somebody else's. */
const keyOf = (relation: Relation, closure: string, credential: string) => (relation === 'own' ? credential : `${credential} ${closure}`)

function followItem(
  told: ToldClosures,
  event: Readonly<Record<'type' | 'closure' | 'credential' | 'subject', string>> & { readonly from: unknown; readonly relation: unknown },
  report: Report,
): void {
  const { type, closure, credential, subject } = event
  const retried = type === 'logins.retried'
  const named = retried ? event.from : type.slice('logins.'.length)
  const state = ITEM_STATES.find((each) => each === named)
  const relation = RELATIONS.find((each) => each === event.relation)
  const begins = state === 'planned' && !retried
  // Only the first event says it.
  const ofOthers = begins ? relation !== undefined : told.items.has(keyOf('consumer', closure, credential))
  const key = keyOf(ofOthers ? 'consumer' : 'own', closure, credential)
  const before = told.items.get(key)
  const where = `logins of ${subject} in closure ${closure}`
  if (state === undefined) {
    report(where, `The log has an unknown event: ${type}.`)
    return
  }
  if (begins && before !== undefined && !ITEM_ENDS.includes(before.state))
    report(where, `The log begins anew while it was ${before.state}.`)
  if (!begins && before === undefined) report(where, `The log begins with ${state}, not with planned.`)
  if (!begins && before !== undefined && !nextItem(before.relation)[before.state].includes(state)) {
    report(where, `The log goes from ${before.state} to ${state}.`)
  }
  told.items.set(key, { state, closure, subject, relation: before?.relation ?? relation ?? 'own' })
}

/** Compares the rows with what the log said. Closures that move while this runs are left out. */
export async function compareClosures(sql: Sql, told: ToldClosures, removed: ReadonlySet<string>, report: Report): Promise<void> {
  for (const row of await itemRows(sql)) {
    const item = told.items.get(keyOf(row.relation, row.closure_id, row.credential_id))
    const where = `logins of ${row.credential_name} in closure ${row.closure_id}`
    if (item === undefined) report(where, `The table says ${row.state}; the log knows nothing of it.`)
    else if (item.state !== row.state && !row.moving) report(where, `The table says ${row.state}; the log says ${item.state}.`)
    else if (ITEM_ENDS.includes(row.state) !== row.ended && !row.moving) report(where, 'Its state and the time of its end do not agree.')
    const shut = !['planned', 'rotating', 'rotated', 'resumed', 'blocked', 'handed_over', 'not_provable', 'irrevocable'].includes(row.state)
    if (row.relation === 'own' && shut && !row.shut && !row.moving) report(where, 'Its logins are stopped, and rotations of it are not.')
  }
  for (const { name } of await strayClosed(sql)) report(`credential ${name}`, 'Its rotations are stopped, and no closure says so.')
  for (const row of await closureRows(sql)) {
    const whole = told.closures.get(row.id)
    const where = `closure ${row.id} of ${row.identity_name}`
    if (whole === undefined) report(where, 'The table has it; the log does not.')
    else if (whole.state !== null && whole.state !== row.state && CLOSURE_ENDS.includes(row.state) !== CLOSURE_ENDS.includes(whole.state)) {
      report(where, `The table says ${row.state}; the log says ${whole.state}.`)
    }
    // Items of credentials that were removed from the inventory are gone, and with them what the end was made of.
    if (CLOSURE_ENDS.includes(row.state) && removed.size === 0 && closureStateOf(row.goal, row.counts ?? {}) !== row.state) {
      report(where, `The table says ${row.state}; its credentials say ${closureStateOf(row.goal, row.counts ?? {})}.`)
    }
  }
  if (removed.size > 0) return
  const open = new Set(await openRecords(sql))
  for (const [key, subject] of told.open)
    if (!open.has(key)) report(`${key} of ${subject}`, 'It is open by the log; the table does not say so.')
  for (const key of open) if (!told.open.has(key)) report(key, 'It is open by the table; the log does not say so.')
}

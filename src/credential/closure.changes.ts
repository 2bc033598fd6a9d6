/** From a change of an identity's status to rows that say what becomes of its credentials. */
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { dueChanges, type IdentityChange, type IdentityRecord, markHandled, recordsById } from '../identity/index.ts'
import { type Ctx, type Json, newId } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { CLOSURE_ENDS, type ClosureState, closureStateOf, type Goal, goalAfter } from './closure.model.ts'
import { type PlannedItem, planFor, planOfOthers } from './closure.plan.ts'
import * as rows from './closure.rows.ts'
import type { ClosingParts } from './closure.run.ts'

/** Changes that are taken in one look. */
const AT_ONCE = 50

const GOAL_OF: Readonly<Record<IdentityChange['change'], Goal>> = { suspended: 'suspend', resumed: 'resume', offboarded: 'destroy' }

/**
 * Takes what the record says has changed: opens a closure, or turns one that is under way to its new goal; the change is marked in the
 * same transaction. Resolves with how many were taken. Any number of processes may: a lock of each identity lets one work at a time.
 */
export async function takeChanges(parts: ClosingParts, ctx: Ctx): Promise<number> {
  const due = await dueChanges(parts.store, AT_ONCE)
  for (const change of due) {
    await parts.store.inTx(async (tx) => {
      await rows.lockIdentity(tx, change.identity)
      // Another process may have taken it while we waited for the lock.
      if (!(await dueChanges(tx, AT_ONCE)).some(({ id }) => id === change.id)) return
      if (change.status !== null) await applyChange(parts, tx, ctx, change)
      await markHandled(tx, ctx, [change.id])
    })
  }
  return due.length
}

async function applyChange(parts: ClosingParts, tx: Tx, ctx: Ctx, change: IdentityChange): Promise<void> {
  const record = (await recordsById(tx, [change.identity])).get(change.identity)
  if (record === undefined) return
  await closeCredentials(parts, tx, ctx, { record, goal: GOAL_OF[change.change], reason: change.reason, credential: null })
}

/** What is asked of a closure: of all credentials of an identity, or of one. */
export interface Wanted {
  readonly record: IdentityRecord
  readonly goal: Goal
  readonly reason: string
  readonly credential: string | null
  /** The one credential is ended also for others who use it. */
  readonly forAll?: boolean
}

/** Opens or turns a closure, in the caller's transaction. Null if there is nothing to give back. */
export async function closeCredentials(parts: ClosingParts, tx: Tx, ctx: Ctx, wanted: Wanted): Promise<string | null> {
  const { record, reason, credential } = wanted
  const open = await rows.lockLive(tx, record.id, credential)
  if (open === null && wanted.goal === 'resume') return null
  const goal = open === null ? wanted.goal : goalAfter(open.goal, wanted.goal)
  const now = await rows.databaseNow(tx)
  const destroyAt = goal === 'destroy' ? (open?.destroy_at ?? new Date(now.getTime() + parts.destroyAfterSeconds * 1000)) : null
  const stopped: Record<string, Json> = {}
  if (goal !== 'resume' && credential === null) {
    for (const stop of parts.stops) Object.assign(stopped, await stop(tx, ctx, { identity: record.id, goal, reason }))
  }
  const id = open?.id ?? newId(ctx.clock.now().getTime())
  if (open === null) await rows.insertClosure(tx, { id, record, credential, goal, reason, by: ctx.actor, destroyAt })
  const wentOn = open === null ? [] : await rows.turnClosure(tx, id, { goal, reason, destroyAt })
  const added = goal === 'resume' ? [] : await addItems(parts, tx, ctx, { ...wanted, goal }, id)
  const event = closureEvent(
    open === null ? 'closure.opened' : 'closure.turned',
    { id, identity: record.id, name: record.name },
    {
      goal,
      reason,
      ...(destroyAt === null ? {} : { destroyAt: destroyAt.toISOString() }),
      ...(Object.keys(stopped).length === 0 ? {} : { stopped }),
      credentials: countWays(added),
    },
  )
  await append(tx, ctx, [
    event,
    ...wentOn.map((item) => retriedEvent(id, record.id, item)),
    ...added.map((item) => itemEvent(id, record, item)),
  ])
  await tx.query('select pg_notify($1, $2)', [rows.CLOSURE_NUDGE, ''])
  return id
}

/** What is somebody else's is left alone by a suspension, which may be taken back, and by the end of one credential. */
async function addItems(parts: ClosingParts, tx: Tx, ctx: Ctx, wanted: Wanted, id: string): Promise<PlannedItem[]> {
  const { record, goal, credential, forAll } = wanted
  const own = await rows.insertItems(tx, id, await planFor(tx, parts.targets, record, credential, forAll), ctx, credential === null)
  if (goal !== 'destroy' || credential !== null) return own
  return [...own, ...(await rows.insertOfOthers(tx, id, await planOfOthers(tx, parts.targets, record, null), ctx))]
}

function countWays(items: readonly PlannedItem[]): Record<string, Json> {
  return Object.fromEntries([...Map.groupBy(items, ({ way }) => way)].map(([way, each]) => [way, each.length]))
}

function itemEvent(closure: string, { id }: IdentityRecord, item: PlannedItem): EvidenceEvent {
  const links = { closure, credential: item.credential, system: item.systemId, identity: id }
  const others: Record<string, Json> = item.relation === 'own' ? {} : { relation: item.relation, known: [...item.known] }
  const data = { way: item.way, why: item.why, consumers: [...item.consumers], ...others }
  return { log: 'credential', type: 'logins.planned', subject: item.name, links, data }
}

/** An item goes on from where it stopped. */
export function retriedEvent(closure: string, identity: string, item: rows.WentOn): EvidenceEvent {
  const links = { closure, credential: item.credential_id, system: item.system_id, identity }
  return { log: 'credential', type: 'logins.retried', subject: item.credential_name, links, data: { from: item.state } }
}

/** An event of a whole closure. */
export function closureEvent(
  type: string,
  of: { readonly id: string; readonly identity: string; readonly name: string },
  data: Record<string, Json>,
): EvidenceEvent {
  return { log: 'credential', type, subject: of.name, links: { closure: of.id, identity: of.identity }, data }
}

/** Brings the state of closures up to their items, with evidence of each change. Resolves with how many changed. */
export async function settleClosures(parts: Pick<ClosingParts, 'store'>, ctx: Ctx): Promise<number> {
  const unsettled = (await rows.liveCounts(parts.store)).filter(({ goal, state, counts }) => closureStateOf(goal, counts) !== state)
  for (const { id } of unsettled) await parts.store.inTx((tx) => settle(tx, ctx, id))
  return unsettled.length
}

async function settle(tx: Tx, ctx: Ctx, id: string): Promise<void> {
  await rows.lockClosure(tx, id)
  const [row] = await rows.liveCounts(tx, id)
  if (row === undefined) return
  const to: ClosureState = closureStateOf(row.goal, row.counts)
  if (to === row.state) return
  await rows.setClosureState(tx, id, to, CLOSURE_ENDS.includes(to))
  const of = { id, identity: row.identity_id, name: row.identity_name }
  await append(tx, ctx, [closureEvent('closure.settled', of, { from: row.state, to, goal: row.goal, items: { ...row.counts } as Json })])
}

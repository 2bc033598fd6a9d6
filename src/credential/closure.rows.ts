/** The rows of closures: what opens, turns and settles them. */
import type { IdentityRecord } from '../identity/index.ts'
import { type Ctx, newId } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { ClosureState, Goal, ItemCounts, ItemState } from './closure.model.ts'
import type { PlannedItem } from './closure.plan.ts'

/** On this channel closures are told to look at their rows. A lost notice costs nothing but time. */
export const CLOSURE_NUDGE = 'rekey_closure'

/** Who changes the closures of one identity waits for one another, in all processes. */
export async function lockIdentity(tx: Tx, identity: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 7395018))', [identity])
}

/** The database's time: what is waited for is measured by one clock. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const [row] = await tx.query<{ now: Date }>('select now() as now')
  return row?.now ?? new Date(Number.NaN)
}

export interface OpenClosure {
  readonly id: string
  readonly goal: Goal
  readonly destroy_at: Date | null
}

/** The closure under way of the identity, or of one credential, locked. */
export async function lockLive(tx: Tx, identity: string, credential: string | null): Promise<OpenClosure | null> {
  const [row] = await tx.query<OpenClosure>(
    `select id, goal, destroy_at from closure
      where identity_id = $1 and credential_id is not distinct from $2 and ended_at is null for update`,
    [identity, credential],
  )
  return row ?? null
}

export async function lockClosure(tx: Tx, id: string): Promise<void> {
  await tx.query('select id from closure where id = $1 for update', [id])
}

export async function insertClosure(
  tx: Tx,
  closure: {
    readonly id: string
    readonly record: IdentityRecord
    readonly credential: string | null
    readonly goal: Goal
    readonly reason: string
    readonly by: string
    readonly destroyAt: Date | null
  },
): Promise<void> {
  const { id, record, credential, goal, reason, by, destroyAt } = closure
  await tx.query(
    `insert into closure (id, identity_id, identity_name, credential_id, goal, state, reason, started_by, destroy_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [id, record.id, record.name, credential, goal, goal === 'destroy' ? 'destroying' : 'suspending', reason, by, destroyAt],
  )
}

/** What goes on although it waited for a human. */
export interface WentOn {
  readonly credential_id: string
  readonly credential_name: string
  readonly system_id: string
  readonly state: ItemState
}

/**
 * Turns it to a goal. Every open item that is not with a human is due, also one that a worker holds. Of those that are with a human, all
 * go on when everything is given back, and at the end those that only could not be given back; resolves with them.
 */
export async function turnClosure(
  tx: Tx,
  id: string,
  to: { readonly goal: Goal; readonly reason: string; readonly destroyAt: Date | null },
): Promise<WentOn[]> {
  await tx.query('update closure set goal = $2, reason = $3, destroy_at = $4, changed_at = now() where id = $1', [
    id,
    to.goal,
    to.reason,
    to.destroyAt,
  ])
  await tx.query(
    `update closure_item set nudge = nudge + 1, due_at = now()
      where closure_id = $1 and ended_at is null and state not in ('blocked', 'handed_over', 'rotating')`,
    [id],
  )
  return tx.query<WentOn>(
    `update closure_item set nudge = nudge + 1, due_at = now(), state = blocked_from, blocked_from = null, blocked_at = null,
            problem = null, tries = 0, looks = 0
      where closure_id = $1 and state in ('blocked', 'handed_over') and blocked_from <> 'rotating'
        and ($2 = 'resume' or ($2 = 'destroy' and blocked_from = 'suspended'))
     returning credential_id, credential_name, system_id, state`,
    [id, to.goal],
  )
}

/**
 * Adds what is not in it yet. One of an identity takes over what a closure of one
 * credential has open; never the other way round, so that who is suspended gets nothing back by a review. Resolves with those that are new.
 */
export async function insertItems(
  tx: Tx,
  closure: string,
  items: readonly PlannedItem[],
  ctx: Ctx,
  ofIdentity: boolean,
): Promise<PlannedItem[]> {
  if (items.length === 0) return []
  await tx.query(
    `update closure_item i set closure_id = $1, nudge = i.nudge + 1,
            due_at = case when i.state in ('blocked', 'handed_over', 'rotating') then i.due_at else now() end
      where $3 and i.relation = 'own' and i.credential_id = any($2::uuid[]) and i.ended_at is null and i.closure_id <> $1`,
    [closure, items.map(({ credential }) => credential), ofIdentity],
  )
  return insert(tx, closure, items, ctx, 'o.closure_id = $1 or o.ended_at is null')
}

/** Adds credentials of somebody else, each once; other closures may have them too. Resolves with those that are new. */
export function insertOfOthers(tx: Tx, closure: string, items: readonly PlannedItem[], ctx: Ctx): Promise<PlannedItem[]> {
  return insert(tx, closure, items, ctx, 'o.closure_id = $1')
}

async function insert(tx: Tx, closure: string, items: readonly PlannedItem[], ctx: Ctx, there: string): Promise<PlannedItem[]> {
  if (items.length === 0) return []
  const input = items.map((item) => ({ ...item, id: newId(ctx.clock.now().getTime()) }))
  const rows = await tx.query<{ credential_id: string }>(
    `insert into closure_item (id, closure_id, credential_id, credential_name, system_id, way, why, consumers, state, relation, known)
     select i.id, $1, i.credential, i.name, i."systemId", i.way, i.why, array(select jsonb_array_elements_text(i.consumers)), 'planned',
            i.relation, array(select jsonb_array_elements_text(i.known)::uuid)
       from jsonb_to_recordset($2::jsonb)
         as i(id uuid, credential uuid, name text, "systemId" uuid, way text, why text, consumers jsonb, relation text, known jsonb)
      where not exists (select 1 from closure_item o
                         where o.credential_id = i.credential and (o.relation = 'own') = (i.relation = 'own') and (${there}))
     returning credential_id`,
    [closure, JSON.stringify(input)],
  )
  const added = new Set(rows.map((row) => row.credential_id))
  return items.filter(({ credential }) => added.has(credential))
}

export interface Counted {
  readonly id: string
  readonly identity_id: string
  readonly identity_name: string
  readonly goal: Goal
  readonly state: ClosureState
  readonly counts: ItemCounts
}

/** Closures that have not ended, or one of them, with how many of their items are in each state. */
export async function liveCounts(sql: Sql, id: string | null = null): Promise<Counted[]> {
  const rows = await sql.query<Omit<Counted, 'counts'> & { counts: Record<string, number> | null }>(
    `select o.id, o.identity_id, o.identity_name, o.goal, o.state,
            (select jsonb_object_agg(n.state, n.count) from (
               select i.state, count(*)::int as count from closure_item i where i.closure_id = o.id group by i.state) n) as counts
       from closure o where o.ended_at is null and ($1::uuid is null or o.id = $1) order by o.id`,
    [id],
  )
  return rows.map((row) => ({ ...row, counts: (row.counts ?? {}) as Partial<Record<ItemState, number>> }))
}

export async function setClosureState(tx: Tx, id: string, state: ClosureState, ended: boolean): Promise<void> {
  await tx.query('update closure set state = $2, changed_at = now(), ended_at = case when $3 then now() end where id = $1', [
    id,
    state,
    ended,
  ])
}

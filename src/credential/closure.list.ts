import { type IdentityRecord, recordsById } from '../identity/index.ts'
import { pageOfSeen, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine, type Resource } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { ClosureState, Goal, ItemCounts, ItemState, Relation, Way } from './closure.model.ts'

/** A closure as it is listed. Times are RFC 3339. */
export interface ClosureView {
  readonly closure: string
  readonly identity: string
  readonly identityId: string
  readonly goal: Goal
  readonly state: ClosureState
  readonly reason: string
  readonly startedBy: string
  readonly destroyAt: string | null
  readonly createdAt: string
  readonly endedAt: string | null
  /** How many credentials are in each state. */
  readonly counts: ItemCounts
}

/** One credential within a closure. */
export interface ClosureItemView {
  readonly credential: string
  readonly system: string
  readonly way: Way
  readonly why: string
  /** Whether it is the identity's own, or why the closure has what is somebody else's. */
  readonly relation: Relation
  /** Who else uses it. */
  readonly consumers: readonly string[]
  readonly state: ItemState
  /** Where it goes on when a human says so; null where it waits for nobody. */
  readonly from: ItemState | null
  readonly reason: string | null
  readonly hint: string | null
  /** Who has it now, if it waits for a human, and since when. */
  readonly human: { readonly kind: 'person' | 'team'; readonly id: string; readonly name: string; readonly since: string } | null
  /** When Rekey itself tries it again, or looks whether the system answers; null: not by itself. */
  readonly nextTryAt: string | null
  /** How often it has looked so since the human has it. */
  readonly looks: number
  readonly rotation: string | null
  readonly sessionsEnded: number
  readonly suspendedAt: string | null
  readonly resumedAt: string | null
  readonly destroyedAt: string | null
  /** When the value that it had was proven dead: by the closure, or by the rotation that took its place. */
  readonly provedDeadAt: string | null
  readonly endedAt: string | null
}

interface Row {
  readonly id: string
  readonly identity_id: string
  readonly identity_name: string
  readonly goal: Goal
  readonly state: ClosureState
  readonly reason: string
  readonly started_by: string
  readonly destroy_at: Date | null
  readonly created_at: Date
  readonly ended_at: Date | null
  readonly counts: ItemCounts | null
}

const VIEW = `
  select o.id, o.identity_id, o.identity_name, o.goal, o.state, o.reason, o.started_by, o.destroy_at, o.created_at, o.ended_at,
         (select jsonb_object_agg(n.state, n.count) from (
            select i.state, count(*)::int as count from closure_item i where i.closure_id = o.id group by i.state) n) as counts
    from closure o`

function viewOf(row: Row): ClosureView {
  return {
    closure: row.id,
    identity: row.identity_name,
    identityId: row.identity_id,
    goal: row.goal,
    state: row.state,
    reason: row.reason,
    startedBy: row.started_by,
    destroyAt: row.destroy_at?.toISOString() ?? null,
    createdAt: row.created_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
    counts: row.counts ?? {},
  }
}

/** Which closures to list, newest first. */
export interface ClosureFilter {
  /** Identity id. */
  readonly identity?: string | undefined
  /** Only those that have not ended. */
  readonly open?: boolean | undefined
  /** Only those in which something waits for a human. */
  readonly waiting?: boolean | undefined
  /** The id of the last one seen. */
  readonly after?: string | undefined
  readonly limit: number
}

/** What a policy may know of a closure: whose it is and where that works. */
async function resourcesOf(sql: Sql, views: readonly ClosureView[]): Promise<Resource[]> {
  const records = await recordsById(sql, [...new Set(views.map(({ identityId }) => identityId))])
  return views.map(({ closure, identityId }) => closureResource(closure, records.get(identityId)))
}

/** What a policy may know of a closure, by the identity that it is of. */
export function closureResource(id: string, record: IdentityRecord | undefined): Resource {
  return { type: 'closure', id, environment: record?.environment, kind: record?.kind, owner: record?.ownerId ?? undefined }
}

/** A page, without what the asker may not read; `next` is the cursor of what follows, null at the end. See `pageOfSeen`. */
export async function listClosures(
  sql: Sql,
  may: Allowed<'closure:read'>,
  filter: ClosureFilter,
): Promise<{ readonly items: ClosureView[]; readonly next: string | null }> {
  const { identity = null, after = null, limit, open = false, waiting = false } = filter
  const read = async (from: string | null, count: number) => {
    const found = await sql.query<Row>(
      `${VIEW} where ($1::uuid is null or o.identity_id = $1) and ($2::uuid is null or o.id < $2) and (not $3 or o.ended_at is null)
        and (not $4 or (o.ended_at is null and exists (
              select 1 from closure_item i where i.closure_id = o.id and i.state in ('blocked', 'handed_over'))))
      order by o.id desc limit $5`,
      [identity, from, open, waiting, count],
    )
    return found.map(viewOf)
  }
  const mine = async (views: readonly ClosureView[]) => {
    const resources = await resourcesOf(sql, views)
    return views.filter((_, index) => isMine(may, resources[index]))
  }
  return pageOfSeen({ after, limit }, { read, mine, cursorOf: ({ closure }) => closure })
}

/** One closure. Throws `not_found`, in the same words for one that the asker may not touch. */
export async function closureById(
  sql: Sql,
  may: Allowed<'closure:read' | 'closure:retry' | 'closure:resolve'>,
  id: string,
): Promise<ClosureView> {
  const [row] = await sql.query<Row>(`${VIEW} where o.id = $1`, [id])
  const [resource] = row === undefined ? [] : await resourcesOf(sql, [viewOf(row)])
  if (row === undefined || !isMine(may, resource)) throw new RekeyError('not_found', `No such closure: ${id}`)
  return viewOf(row)
}

/**
 * A page of the credentials of a closure, by name; `after` is the name of the last one seen. What is somebody else's is left out where the
 * asker may not read closures of whose it is. See `pageOfSeen`.
 */
export async function closureItems(
  sql: Sql,
  may: Allowed<'closure:read'>,
  id: string,
  page: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly items: ClosureItemView[]; readonly next: string | null }> {
  const read = (after: string | null, count: number) =>
    sql.query<ItemRow>(
      `select i.credential_name, s.name as system, i.way, i.why, i.relation, c.identity_id as holder_id, i.consumers, i.state,
              i.blocked_from,
            i.problem, i.human_kind, i.human_id, i.human_name, i.blocked_at, i.due_at, i.looks, i.rotation_id, i.sessions_ended,
            i.suspended_at, i.resumed_at, i.destroyed_at, i.ended_at,
            coalesce(i.proved_dead_at, case when i.state = 'rotated' then r.proved_dead_at end) as proved_dead_at
       from closure_item i join system s on s.id = i.system_id join credential c on c.id = i.credential_id
       left join rotation r on r.id = i.rotation_id
      where i.closure_id = $1 and ($2::text is null or i.credential_name > $2) order by i.credential_name limit $3`,
      [id, after, count],
    )
  const mine = async (rows: readonly ItemRow[]) => {
    const others = rows.flatMap(({ relation, holder_id }) => (relation === 'own' ? [] : (holder_id ?? [])))
    const holders = await recordsById(sql, others)
    return rows.filter((row) => row.relation === 'own' || isMine(may, closureResource(id, holders.get(row.holder_id ?? ''))))
  }
  const { items, next } = await pageOfSeen(page, { read, mine, cursorOf: (row) => row.credential_name })
  return { items: items.map(itemOf), next }
}

interface ItemRow {
  readonly credential_name: string
  readonly system: string
  readonly way: Way
  readonly why: string
  readonly relation: Relation
  readonly holder_id: string | null
  readonly consumers: readonly string[]
  readonly state: ItemState
  readonly blocked_from: ItemState | null
  readonly problem: { readonly reason?: string; readonly hint?: string } | null
  readonly human_kind: 'person' | 'team' | null
  readonly human_id: string | null
  readonly human_name: string | null
  readonly blocked_at: Date | null
  readonly due_at: Date | null
  readonly looks: number
  readonly rotation_id: string | null
  readonly sessions_ended: number
  readonly suspended_at: Date | null
  readonly resumed_at: Date | null
  readonly destroyed_at: Date | null
  readonly proved_dead_at: Date | null
  readonly ended_at: Date | null
}

function itemOf(row: ItemRow): ClosureItemView {
  const { human_kind: kind, human_id: id, human_name: name } = row
  const waits = row.state === 'blocked' || row.state === 'handed_over'
  const at = (date: Date | null) => date?.toISOString() ?? null
  return {
    credential: row.credential_name,
    system: row.system,
    way: row.way,
    why: row.why,
    relation: row.relation,
    consumers: row.consumers,
    state: row.state,
    from: waits ? row.blocked_from : null,
    reason: row.problem?.reason ?? null,
    hint: row.problem?.hint ?? null,
    human: waits && kind !== null && id !== null && name !== null ? { kind, id, name, since: at(row.blocked_at) ?? '' } : null,
    nextTryAt: row.problem === null || row.ended_at !== null ? null : at(row.due_at),
    looks: row.looks,
    rotation: row.rotation_id,
    sessionsEnded: row.sessions_ended,
    suspendedAt: at(row.suspended_at),
    resumedAt: at(row.resumed_at),
    destroyedAt: at(row.destroyed_at),
    provedDeadAt: at(row.proved_dead_at),
    endedAt: at(row.ended_at),
  }
}

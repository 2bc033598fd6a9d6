import type { Strategy } from '../connectors/contract.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { RotationView } from './model.ts'
import { ENDS, type State } from './rotation.model.ts'

/** Which credentials to rotate: by name, all of a system, or all; never nothing, since empty must not mean all. */
export type Selection = { readonly names: readonly string[] } | { readonly system: string } | { readonly all: true }

/** A credential that a rotation can be started for. */
export interface Startable {
  readonly id: string
  readonly name: string
  readonly system_id: string
  readonly system: string
  readonly identity_id: string | null
  readonly strategy: Strategy
  readonly accounts: readonly string[]
  readonly grace_seconds: number
  readonly current_id: string
  readonly current_account: string
  /** The rotation under way, if any; its state, and what holds it up as far as that is known. */
  readonly live: string | null
  readonly live_state: State | null
  readonly live_reason: string | null
  /** Its logins were stopped by a closure. */
  readonly closed: boolean
}

const STARTABLE = `
  select c.id, c.name, c.system_id, s.name as system, c.identity_id, c.strategy, c.accounts, c.grace_seconds,
         v.id as current_id, v.account as current_account,
         c.closed_at is not null as closed,
         r.id as live, r.state as live_state, r.problem ->> 'reason' as live_reason
    from credential c join version v on v.credential_id = c.id and v.state = 'current' join system s on s.id = c.system_id
    left join rotation r on r.credential_id = c.id and r.ended_at is null`

/**
 * Credentials, locked, so that two requests cannot both find one free. In two statements: one that waits for a lock goes on with what it
 * saw of other tables before, and would not see the rotation that the other request began.
 */
async function lockStartable(
  tx: Tx,
  where: string,
  params: readonly unknown[],
  lock = 'order by c.name for update of c',
): Promise<Startable[]> {
  const locked = await tx.query<{ id: string }>(
    `select c.id from credential c join system s on s.id = c.system_id where ${where} ${lock}`,
    params,
  )
  if (locked.length === 0) return []
  return tx.query(`${STARTABLE} where c.id = any($1::uuid[]) order by c.name`, [locked.map(({ id }) => id)])
}

/** Those that are selected and have a value in use. */
export async function selectForRotation(tx: Tx, what: Selection, root: boolean): Promise<Startable[]> {
  if ('names' in what) return lockStartable(tx, 'c.name = any($1::text[]) and c.is_root = $2', [what.names, root])
  if ('system' in what) return lockStartable(tx, 's.name = $1 and c.is_root = $2', [what.system, root])
  return lockStartable(tx, 'c.is_root = $1', [root])
}

/** A credential without a value in use, of which nothing can be rotated. */
export interface Ended {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string | null
  /** Its system was given up. */
  readonly decommissioned: boolean
}

/** Those of these names that are on record and have no value in use. Not root credentials. */
export async function selectEnded(sql: Sql, names: readonly string[]): Promise<Ended[]> {
  return sql.query(
    `select c.id, c.name, s.name as system, c.identity_id, s.decommissioned_at is not null as decommissioned
       from credential c join system s on s.id = c.system_id
      where c.name = any($1::text[]) and not c.is_root
        and not exists (select 1 from version v where v.credential_id = c.id and v.state = 'current') order by c.name`,
    [names],
  )
}

/** Whether there is such a system, and whether it was given up. */
export async function findSystem(sql: Sql, name: string): Promise<{ readonly decommissioned: boolean } | null> {
  const [row] = await sql.query<{ decommissioned: boolean }>(
    'select decommissioned_at is not null as decommissioned from system where name = $1',
    [name],
  )
  return row ?? null
}

/** The credential with this id, locked, if it has a value in use. */
export async function selectById(tx: Tx, id: string): Promise<Startable[]> {
  return lockStartable(tx, 'c.id = $1', [id])
}

/** Credentials whose schedule is due and that have no rotation under way. */
export async function selectDue(tx: Tx, limit: number): Promise<Startable[]> {
  const due = `c.next_rotation_at <= now() and c.closed_at is null
      and exists (select 1 from version v where v.credential_id = c.id and v.state = 'current')
      and not exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null)`
  const found = await lockStartable(tx, due, [limit], 'order by c.next_rotation_at limit $1 for update of c skip locked')
  return found.filter(({ live }) => live === null)
}

/** A rotation to be inserted. */
export interface Planned {
  readonly id: string
  readonly credential: string
  readonly system: string
  readonly old: string
  readonly old_account: string
  readonly new_account: string
  readonly grace: number
}

export async function insertRotations(tx: Tx, batch: string, reason: string, by: string, planned: readonly Planned[]): Promise<void> {
  await tx.query(
    `insert into rotation (id, batch_id, credential_id, system_id, state, reason, started_by,
                           old_version_id, old_account, new_account, grace_seconds)
     select i.id, $2, i.credential, i.system, 'planned', $3, $4, i.old, i.old_account, i.new_account, i.grace
       from jsonb_to_recordset($1::jsonb)
         as i(id uuid, credential uuid, system uuid, old uuid, old_account text, new_account text, grace bigint)`,
    [JSON.stringify(planned), batch, reason, by],
  )
}

/** A rotation's row, locked. */
export interface Held {
  readonly state: State
  readonly blocked_from: State | null
  readonly credential_id: string
  readonly credential_name: string
  readonly system_id: string
  readonly system: string
  readonly identity_id: string | null
  /** True while a worker has claimed it. */
  readonly held: boolean
  /**
   * False if the old value could not be put back: it is not known, and the account or a consumer's file would need it. Before the new
   * one is on record as installed it may be tried: what the system says then decides.
   */
  readonly can_undo: boolean
}

export async function lockRotation(tx: Tx, id: string): Promise<Held | null> {
  const [row] = await tx.query<Held>(
    `select r.state, r.blocked_from, r.credential_id, c.name as credential_name, r.system_id, s.name as system, c.identity_id,
            coalesce(r.lease_until > now(), false) as held,
            v.sealed is not null or r.installed_at is null or (c.strategy <> 'in-place' and not exists (
              select 1 from consumer k where k.credential_id = c.id and k.file_path is not null)) as can_undo
       from rotation r join credential c on c.id = r.credential_id join version v on v.id = r.old_version_id
       join system s on s.id = r.system_id
      where r.id = $1 for update of r`,
    [id],
  )
  return row ?? null
}

/** Whether a closure has stopped the credential. Asked anew under a lock of its rotation: to park one stops its credential too. */
export async function isClosed(tx: Tx, credentialId: string): Promise<boolean> {
  const [row] = await tx.query<{ closed: boolean }>('select closed_at is not null as closed from credential where id = $1', [credentialId])
  return row?.closed === true
}

export async function setState(
  tx: Tx,
  id: string,
  state: State,
  change: { readonly dueNow: boolean; readonly ended?: boolean; readonly override?: { readonly by: string; readonly reason: string } },
): Promise<void> {
  await tx.query(
    `update rotation set state = $2, blocked_from = null, blocked_at = null, tries = 0, problem = null,
            lease_until = null, lease_epoch = lease_epoch + 1,
            due_at = case when $3 then now() end, ended_at = case when $4 then now() end,
            activation_override = coalesce($5::jsonb, activation_override)
      where id = $1`,
    [id, state, change.dueNow, change.ended === true, change.override === undefined ? null : JSON.stringify(change.override)],
  )
}

/** Sets the credential's next rotation by its schedule, when a rotation ended by a human's word. */
export async function reschedule(tx: Tx, credentialId: string): Promise<void> {
  await tx.query(
    'update credential set next_rotation_at = now() + make_interval(secs => every_seconds) where id = $1 and every_seconds is not null',
    [credentialId],
  )
}

/** Gives up the old value of a rotation; resolves with the id of its version. */
export async function markIrrevocable(tx: Tx, rotationId: string): Promise<string> {
  const [row] = await tx.query<{ id: string }>(
    "update version set state = 'irrevocable' where id = (select old_version_id from rotation where id = $1) returning id",
    [rotationId],
  )
  return row?.id ?? ''
}

const VIEW = `
  select r.id, r.batch_id, r.state, r.blocked_from, r.reason, r.started_by, r.problem, r.tries, r.gap_ms,
         r.created_at, r.staged_at, r.installed_at, r.verified_at, r.distributed_at, r.activated_at, r.retired_at,
         r.proved_dead_at, r.ended_at, r.blocked_at,
         c.name as credential, s.name as system, ov.number as old_number, nv.number as new_number
    from rotation r join credential c on c.id = r.credential_id join system s on s.id = r.system_id
    left join version ov on ov.id = r.old_version_id left join version nv on nv.id = r.new_version_id`

interface ViewRow {
  id: string
  batch_id: string
  state: State
  blocked_from: State | null
  reason: string
  started_by: string
  problem: { reason: string; hint?: string } | null
  tries: number
  gap_ms: number | null
  credential: string
  system: string
  old_number: number | null
  new_number: number | null
  [at: `${string}_at`]: Date | null
}

function viewOf(row: ViewRow): RotationView {
  const at = (name: `${string}_at`) => row[name]?.toISOString() ?? null
  return {
    rotation: row.id,
    credential: row.credential,
    system: row.system,
    state: row.state,
    blockedFrom: row.blocked_from,
    oldVersion: row.old_number,
    newVersion: row.new_number,
    createdAt: at('created_at') ?? '',
    stagedAt: at('staged_at'),
    installedAt: at('installed_at'),
    verifiedAt: at('verified_at'),
    distributedAt: at('distributed_at'),
    activatedAt: at('activated_at'),
    retiredAt: at('retired_at'),
    provedDeadAt: at('proved_dead_at'),
    endedAt: at('ended_at'),
    blockedAt: at('blocked_at'),
    gapMs: row.gap_ms,
    tries: row.tries,
    reason: row.state === 'proven_dead' ? null : (row.problem?.reason ?? null),
    hint: row.state === 'proven_dead' ? null : (row.problem?.hint ?? null),
    startedBy: row.started_by,
    startReason: row.reason,
  }
}

/** Which rotations to list. */
export interface RotationFilter {
  readonly batch?: string
  readonly credential?: string
  readonly state?: State
  /** True: only those that go on by themselves after a fault: their step failed at least once and is tried again. */
  readonly retrying?: boolean
  /** Cursor: the id of the last one seen; ids sort by time. */
  readonly after?: string
  readonly limit: number
}

/** Rotations, newest first. */
export async function listRotations(sql: Sql, filter: RotationFilter): Promise<RotationView[]> {
  const rows = await sql.query<ViewRow>(
    `${VIEW} where ($1::uuid is null or r.batch_id = $1) and ($2::text is null or c.name = $2)
        and ($3::text is null or r.state = $3) and ($4::uuid is null or r.id < $4)
        and (not $6::boolean or (r.ended_at is null and r.state <> 'blocked' and r.tries > 0))
      order by r.id desc limit $5`,
    [filter.batch ?? null, filter.credential ?? null, filter.state ?? null, filter.after ?? null, filter.limit, filter.retrying === true],
  )
  return rows.map(viewOf)
}

/** One rotation, or null if there is none by that id. */
export async function findRotation(sql: Sql, id: string): Promise<RotationView | null> {
  const [row] = await sql.query<ViewRow>(`${VIEW} where r.id = $1`, [id])
  return row ? viewOf(row) : null
}

/** How many rotations of a batch are in one state on one system. */
export interface BatchCount {
  readonly system: string
  readonly state: State
  readonly count: number
}

/** Counts of each batch that has rotations, by system and state, in one statement; for progress displays. */
export async function countBatches(sql: Sql, batches: readonly string[]): Promise<Map<string, BatchCount[]>> {
  const rows = await sql.query<BatchCount & { batch: string }>(
    `select b.id as batch, c.system, c.state, c.count from unnest($1::uuid[]) as b(id), lateral (
       select s.name as system, r.state, count(*)::int as count from rotation r join system s on s.id = r.system_id
        where r.batch_id = b.id group by 1, 2) c
      order by 1, 2, 3`,
    [batches],
  )
  const byBatch = Map.groupBy(rows, ({ batch }) => batch)
  return new Map([...byBatch].map(([batch, counts]) => [batch, counts.map(({ system, state, count }) => ({ system, state, count }))]))
}

/**
 * Rotations of each batch that need no more waiting (ended, or blocked), by batch, in the order of their ends and in one statement.
 * `known` are left out.
 */
export async function finishedOfBatches(
  sql: Sql,
  batches: readonly string[],
  known: readonly string[],
): Promise<Map<string, RotationView[]>> {
  const rows = await sql.query<ViewRow>(
    `${VIEW} where r.batch_id = any($1::uuid[]) and (r.ended_at is not null or r.state = 'blocked') and not r.id = any($2::uuid[])
      order by coalesce(r.ended_at, r.blocked_at), r.id`,
    [batches, known],
  )
  const byBatch = Map.groupBy(rows, (row) => row.batch_id)
  return new Map([...byBatch].map(([batch, ended]) => [batch, ended.map(viewOf)]))
}

/** True if nobody need wait for it any longer: it has ended, or waits for a human. */
export function isFinished(state: State): boolean {
  return state === 'blocked' || ENDS.includes(state)
}

/** Counts over all rotations, for status and metrics. */
export interface RotationFigures {
  /** Rotations there are in each state; a state without any is missing. */
  readonly byState: Readonly<Partial<Record<State, number>>>
  /** How many have ended, and the seconds from their start to their end added up. */
  readonly ended: number
  readonly seconds: number
}

/** Reads the whole table: for a scrape every few seconds, not for a request of a user. */
export async function rotationFigures(sql: Sql): Promise<RotationFigures> {
  const rows = await sql.query<{ state: State; count: number; ended: number; seconds: number }>(
    `select state, count(*)::int as count, count(ended_at)::int as ended,
            coalesce(sum(extract(epoch from ended_at - created_at)), 0)::float8 as seconds from rotation group by state`,
  )
  return {
    byState: Object.fromEntries(rows.map((row) => [row.state, row.count])),
    ended: rows.reduce((total, row) => total + row.ended, 0),
    seconds: rows.reduce((total, row) => total + row.seconds, 0),
  }
}

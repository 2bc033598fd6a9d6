import type { ProbeOutcome, Strategy } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import type { Ctx } from '../kernel/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { type Goal, type ItemState, LOGINS_STOPPED, type Relation, ROTATION_BLOCKED, type Way } from './closure.model.ts'
import type { VersionState } from './model.ts'
import { ACCOUNT_ABSENT, type State } from './rotation.model.ts'
import { TARGET_COLUMNS, type TargetRow, targetOf, type VersionChange, type Work, type WorkConsumer } from './rotation.store.ts'

/** A version that could still authenticate. */
export interface AliveVersion {
  readonly id: string
  readonly number: number
  readonly account: string
  readonly state: VersionState
  readonly sealed: Uint8Array | null
  readonly leaked: boolean
  /** What the last probe of it at the system's present address said, as `WorkVersion.seen`. */
  readonly seen: ProbeOutcome | null
}

/** What was found before anything was touched. */
export interface Found {
  /** Accounts that may log in; null: root may not see it. */
  readonly open: Readonly<Record<string, boolean | null>>
  /** What a login with each version was answered, by its id. */
  readonly seen: Readonly<Record<string, ProbeOutcome>>
  /** The system's place at that time. */
  readonly place?: string
  /** Versions that were not accepted then, and had been at this address before: a rotation took them away. */
  readonly before?: readonly string[]
}

/** What the engine changes in an item. Held in memory during a claim and written whole at each commit; the epoch guards it. */
export interface ItemProgress {
  state: ItemState
  blocked_from: ItemState | null
  found: Found | null
  rotation_id: string | null
  attempt_step: 'suspend' | 'resume' | 'destroy' | null
  attempt_opened_at: Date | null
  tries: number
  /** How often Rekey itself has looked whether the system answers, since a human has it. */
  looks: number
  problem: { readonly reason: string; readonly hint?: string; readonly code?: string } | null
  human_kind: 'person' | 'team' | null
  human_id: string | null
  human_name: string | null
  sessions_ended: number
  suspended_at: Date | null
  resumed_at: Date | null
  destroyed_at: Date | null
  proved_dead_at: Date | null
  blocked_at: Date | null
  ended_at: Date | null
}

/** One claimed item with everything its steps need. */
export interface ItemWork {
  readonly id: string
  /** Of the database's clock. */
  readonly loadedAt: Date
  readonly createdAt: Date
  readonly epoch: number
  readonly nudge: number
  readonly way: Way
  readonly why: string
  readonly relation: Relation
  /** What became of the versions that could authenticate when it was planned. */
  readonly known: readonly { readonly id: string; readonly state: VersionState; readonly provedDeadAt: string | null }[]
  /** Of somebody else's: a value could authenticate that was not made by a rotation planned since. */
  readonly stale: boolean
  readonly closure: { readonly id: string; readonly identity: string; readonly goal: Goal; readonly destroyAt: Date | null }
  readonly credential: {
    readonly id: string
    readonly name: string
    /** Id of the identity whose it is; null: a root credential's. */
    readonly identity: string | null
    readonly accounts: readonly string[]
    readonly strategy: Strategy
    readonly kekId: string
    readonly wrappedKey: Uint8Array
    /** Nothing of it is rotated or started until it is given back. */
    readonly closed: boolean
  }
  readonly system: Work['system']
  readonly root: Work['root']
  readonly versions: readonly AliveVersion[]
  /** The rotation of the credential that is under way, if any. */
  readonly live: { readonly id: string; readonly state: State; readonly parked: boolean } | null
  readonly consumers: readonly WorkConsumer[]
  /** The rotation that the item itself started. */
  readonly rotation: {
    readonly state: State
    /** Where a blocked one goes on. */
    readonly from: State | null
    readonly problem: { readonly reason?: string; readonly hint?: string; readonly code?: string } | null
  } | null
  readonly progress: ItemProgress
}

const COLUMNS = `state text, blocked_from text, found jsonb, rotation_id uuid, attempt_step text, attempt_opened_at timestamptz,
  tries int, looks int, problem jsonb, human_kind text, human_id uuid, human_name text, sessions_ended int, suspended_at timestamptz,
  resumed_at timestamptz, destroyed_at timestamptz, proved_dead_at timestamptz, blocked_at timestamptz, ended_at timestamptz`
const NAMES = COLUMNS.split(',').map((column) => column.trim().split(' ')[0] ?? '')

/** Claims due items for this process (see `claim_closure_items` in schema/) and resolves with their ids. */
export async function claimItems(sql: Sql, room: number, leaseMs: number, by: string): Promise<string[]> {
  const rows = await sql.query<{ id: string }>('select claim_closure_items($1, $2, $3) as id', [room, leaseMs, by])
  return rows.map((row) => row.id)
}

/** Of the version `v` of item `i`: it could authenticate, and may have reached who left before their consumers were left out. */
const STALE = `v.credential_id = i.credential_id and v.state in ('staged', 'current', 'previous') and not exists (
           select 1 from rotation n where n.credential_id = i.credential_id and n.new_version_id = v.id and n.created_at > i.created_at)`

const WORK = `
  select i.id, statement_timestamp() as loaded_at, i.created_at, i.lease_epoch as epoch, i.nudge, i.way, i.why, i.relation,
         ${NAMES.map((name) => `i.${name}`).join(', ')},
         o.id as closure_id, o.identity_id, o.goal, o.destroy_at,
         (select jsonb_agg(jsonb_build_object('id', v.id, 'state', v.state, 'provedDeadAt', v.proved_dead_at))
            from version v where v.id = any(i.known)) as known,
         exists (select 1 from version v where ${STALE}) as stale,
         c.id as credential_id, c.name as credential_name, c.identity_id as holder_id, c.accounts, c.strategy, c.kek_id, c.wrapped_key,
         ${TARGET_COLUMNS},
         (select jsonb_agg(jsonb_build_object('id', v.id, 'number', v.number, 'account', v.account, 'state', v.state,
                                              'sealed', encode(v.sealed, 'hex'), 'leaked', v.leaked_at is not null,
                                              'seen', case when p.probe ->> 'where' = s.place
                                                            and p.probe ->> 'code' is distinct from '${ACCOUNT_ABSENT}'
                                                           then p.probe ->> 'outcome' end) order by v.number)
            from version v
            -- Of a value that a rotation is replacing: what it was answered before that.
            cross join lateral (select case when v.id = l.old_version_id then coalesce(l.old_probe, v.last_probe)
                                            else v.last_probe end) p(probe)
           where v.credential_id = c.id and v.state in ('current', 'staged', 'previous')) as versions,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'path', k.file_path, 'key', k.file_key, 'activation', k.activation,
                                              'identity', k.identity_id))
            from consumer k where k.credential_id = c.id) as consumers,
         l.id as live_id, l.state as live_state, c.closed_at is not null as closed,
         l.due_at is null and coalesce(l.lease_until <= now(), true) and c.closed_at is not null as live_parked, r.state as rotation_state,
         r.blocked_from as rotation_from, r.problem as rotation_problem
    from closure_item i
    join closure o on o.id = i.closure_id
    join credential c on c.id = i.credential_id
    join system s on s.id = c.system_id
    join credential rc on rc.system_id = s.id and rc.is_root
    left join rotation l on l.credential_id = c.id and l.ended_at is null
    left join rotation r on r.id = i.rotation_id
   where i.id = any($1::uuid[])`

interface WorkRow extends ItemProgress, TargetRow {
  id: string
  loaded_at: Date
  created_at: Date
  epoch: number
  nudge: number
  way: Way
  why: string
  relation: Relation
  known: ItemWork['known'] | null
  stale: boolean
  holder_id: string | null
  closure_id: string
  identity_id: string
  goal: Goal
  destroy_at: Date | null
  credential_id: string
  credential_name: string
  accounts: string[]
  strategy: Strategy
  kek_id: string
  wrapped_key: Uint8Array
  versions: (Omit<AliveVersion, 'sealed'> & { sealed: string | null })[] | null
  live_id: string | null
  live_state: State | null
  live_parked: boolean | null
  closed: boolean
  consumers: WorkConsumer[] | null
  rotation_state: State | null
  rotation_from: State | null
  rotation_problem: { reason?: string; hint?: string; code?: string } | null
}

const bytes = (hex: string) => Buffer.from(hex, 'hex')

/** Everything that the steps of these items need, in one statement. */
export async function loadItems(sql: Sql, ids: readonly string[]): Promise<ItemWork[]> {
  return (await sql.query<WorkRow>(WORK, [ids])).map(workOf)
}

function workOf(row: WorkRow): ItemWork {
  const { live_id, live_state, live_parked, rotation_state, rotation_from: from, rotation_problem: problem } = row
  return {
    id: row.id,
    loadedAt: row.loaded_at,
    createdAt: row.created_at,
    epoch: row.epoch,
    nudge: row.nudge,
    way: row.way,
    why: row.why,
    relation: row.relation,
    known: row.known ?? [],
    stale: row.stale,
    closure: { id: row.closure_id, identity: row.identity_id, goal: row.goal, destroyAt: row.destroy_at },
    credential: {
      id: row.credential_id,
      name: row.credential_name,
      identity: row.holder_id,
      accounts: row.accounts,
      strategy: row.strategy,
      kekId: row.kek_id,
      wrappedKey: row.wrapped_key,
      closed: row.closed,
    },
    ...targetOf(row),
    versions: (row.versions ?? []).map((version) => ({ ...version, sealed: version.sealed === null ? null : bytes(version.sealed) })),
    live: live_id === null || live_state === null ? null : { id: live_id, state: live_state, parked: live_parked === true },
    consumers: row.consumers ?? [],
    rotation: rotation_state === null ? null : { state: rotation_state, from, problem },
    progress: Object.fromEntries(NAMES.map((name) => [name, row[name as keyof ItemProgress]])) as unknown as ItemProgress,
  }
}

/** One transaction's worth of change to one item. */
export interface ItemCommit {
  readonly id: string
  readonly epoch: number
  readonly from: ItemState
  readonly nudge: number
  readonly credentialId: string
  readonly progress: ItemProgress
  readonly versions: readonly VersionChange[]
  /** True: no rotation is started from now on; false: again; null: as it was. */
  readonly closed: boolean | null
  /** Milliseconds until it is due again; null: not by itself. */
  readonly dueMs: number | null
  readonly keepLease: boolean
}

const SET = NAMES.map((name) => `${name} = i.${name}`).join(', ')

/**
 * Writes a move with its evidence and whatever `also` does, in one transaction. False, and nothing written, if the item is no longer
 * where its worker left it. A change of goal that the run has not seen leaves the item due.
 */
export async function commitItem(
  store: Store,
  ctx: Ctx,
  commit: ItemCommit,
  events: readonly EvidenceEvent[],
  also: ((tx: Tx) => Promise<void>) | null,
): Promise<boolean> {
  return store
    .inTx(async (tx) => {
      if (also !== null) await also(tx)
      const rows = await tx.query(
        `update closure_item t set ${SET},
              due_at = case when $5 then t.due_at when t.nudge <> $4 and i.ended_at is null then now()
                            else now() + make_interval(secs => $6::float8 / 1000) end,
              lease_until = case when $5 then t.lease_until end
         from jsonb_to_record($7::jsonb) as i(${COLUMNS})
        where t.id = $1 and t.lease_epoch = $2 and t.state = $3 returning t.id`,
        [commit.id, commit.epoch, commit.from, commit.nudge, commit.keepLease, commit.dueMs, JSON.stringify(commit.progress)],
      )
      if (rows.length === 0) {
        if (also !== null) throw new Refused()
        return false
      }
      await changeVersions(tx, commit.versions)
      if (commit.closed !== null) {
        await tx.query('update credential set closed_at = case when $2 then coalesce(closed_at, now()) end where id = $1', [
          commit.credentialId,
          commit.closed,
        ])
      }
      await append(tx, ctx, events)
      return true
    })
    .catch((error: unknown) => {
      if (error instanceof Refused) return false
      throw error
    })
}

/** Takes back what `also` did. */
class Refused extends Error {}

async function changeVersions(tx: Tx, versions: readonly VersionChange[]): Promise<void> {
  if (versions.length === 0) return
  await tx.query(
    `update version v set state = i.state,
            revoked_at = coalesce(i.revoked_at, v.revoked_at), effective_dead_at = coalesce(i.effective_dead_at, v.effective_dead_at),
            proved_dead_at = coalesce(i.proved_dead_at, v.proved_dead_at), shred_after = coalesce(i.shred_after, v.shred_after),
            last_probe = coalesce(i.last_probe, v.last_probe)
       from jsonb_to_recordset($1::jsonb) as i(id uuid, state text, revoked_at timestamptz, effective_dead_at timestamptz,
            proved_dead_at timestamptz, shred_after timestamptz, last_probe jsonb)
      where v.id = i.id`,
    [JSON.stringify(versions)],
  )
}

/** Frees claims of dead processes, and of a worker for items that it does not run. */
export async function freeItems(
  sql: Sql,
  where: { readonly holders: readonly string[] } | { readonly by: string; readonly running: readonly string[] },
) {
  const free = 'update closure_item set lease_until = null, lease_epoch = lease_epoch + 1 where lease_until > now()'
  if ('holders' in where) await sql.query(`${free} and lease_by = any($1::text[])`, [where.holders])
  else await sql.query(`${free} and lease_by = $1 and not id = any($2::uuid[])`, [where.by, where.running])
}

/** Who holds claims on items now. */
export async function itemHolders(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ lease_by: string }>(
    'select distinct lease_by from closure_item where lease_until > now() and lease_by is not null',
  )
  return rows.map((row) => row.lease_by)
}

/** Makes items due whose rotation has ended or is blocked, or is blocked no more. Resolves with whether some still wait for theirs. */
export async function wakeRotated(sql: Sql): Promise<boolean> {
  await sql.query(
    `update closure_item i set due_at = now() from rotation r
      where i.rotation_id = r.id and i.ended_at is null
        and ((i.due_at is null and i.state = 'rotating' and (r.ended_at is not null or r.state = 'blocked'))
          or (coalesce(i.due_at > now(), true) and i.state = 'handed_over' and i.blocked_from = 'rotating'
              and r.state in ('proven_dead', 'irrevocable')))`,
  )
  await sql.query(
    `update closure_item i set due_at = now()
      where i.state = 'handed_over' and i.due_at is null and i.problem ->> 'code' = '${ROTATION_BLOCKED}' and not exists (
        select 1 from rotation r where r.credential_id = i.credential_id and r.ended_at is null and r.state = 'blocked')`,
  )
  await sql.query(
    `update closure_item i set due_at = now() from credential c
      where c.id = i.credential_id and i.relation <> 'own' and i.ended_at is null and i.state = 'handed_over' and i.due_at is null
        and (i.problem ->> 'code' = '${LOGINS_STOPPED}' and c.closed_at is null
          or not exists (select 1 from version v where ${STALE})
             and not exists (select 1 from version v where v.id = any(i.known) and v.state = 'unprovable'))`,
  )
  const [row] = await sql.query<{ waits: boolean }>(
    "select exists (select 1 from closure_item where rotation_id is not null and ended_at is null and state = 'rotating') as waits",
  )
  return row?.waits === true
}

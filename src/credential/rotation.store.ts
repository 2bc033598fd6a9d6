import type { Address, ProbeOutcome, Strategy } from '../connectors/contract.ts'
import { appendFrom } from '../evidence/index.ts'
import { RekeyError } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import type { ActivationRule, VersionState } from './model.ts'
import { ACCOUNT_ABSENT, type State } from './rotation.model.ts'
import type { StoredServer } from './server.model.ts'
import { metHere } from './server.store.ts'

/** A version as the engine needs it. `sealed` is null if the value is unknown or shredded. */
export interface WorkVersion {
  readonly id: string
  readonly number: number
  readonly account: string
  readonly sealed: Uint8Array | null
  /**
   * Of the old one: what it was answered at the system's present place before the rotation changed anything; null if it was never
   * probed there, or its account did not exist. A value that was never accepted there cannot be proven dead: the answers of one server
   * say nothing of another.
   */
  readonly seen: ProbeOutcome | null
  /** The probe of which `seen` tells; null with it. */
  readonly probe: KeptProbe | null
}

export interface WorkConsumer {
  readonly name: string
  readonly path: string | null
  readonly key: string | null
  readonly activation: ActivationRule
  /** Id of the identity whose the fleet file says it is; null: it says nothing. */
  readonly identity: string | null
}

/** What the engine changes in a rotation. Held in memory during a claim and written whole at each commit; the epoch guards it. */
export interface Progress {
  state: State
  blocked_from: State | null
  new_version_id: string | null
  attempt_step: 'install' | 'retire' | 'undo' | null
  attempt_opened_at: Date | null
  tries: number
  regenerations: number
  mark: string | null
  retire_mark: string | null
  sessions_ended: number | null
  problem: { readonly reason: string; readonly hint?: string; readonly code?: string } | null
  staged_at: Date | null
  installed_at: Date | null
  verified_at: Date | null
  distributed_at: Date | null
  activated_at: Date | null
  retired_at: Date | null
  proved_dead_at: Date | null
  ended_at: Date | null
  blocked_at: Date | null
  gap_ms: number | null
  recheck_at: Date | null
  /** What the value in use was answered before this rotation changed anything. */
  old_probe: KeptProbe | null
}

/** A probe as rows keep it, with the place at which it was made. */
export interface KeptProbe {
  readonly outcome: ProbeOutcome
  readonly code: string
  readonly at: string
  readonly where?: string
}

/** A system, as work on it needs it. */
export interface WorkSystem {
  readonly id: string
  readonly name: string
  readonly connector: string
  readonly address: Address
  readonly rootAccount: string
  readonly concurrent: number
  /** Where probes are made: they count only while the row says the same. */
  readonly place: string
  readonly epoch: number
  /** Which server it is; null: it was not met yet. Set when it is. */
  server: StoredServer | null
  /** False: it was met at another address. */
  metHere: boolean
  /** How long before the row was loaded that run of it was first seen, seconds. */
  seenAgo: number | null
  /** As which account the server takes root, where that is not the declared one. */
  rootMatched: string | null
}

/** Another system of the same kind. */
export interface Rival {
  readonly id: string
  readonly name: string
  readonly server: StoredServer | null
  readonly matched: string | null
  /** Of its accounts those that this rotation has too, with whose they are. */
  readonly held: Readonly<Record<string, string>>
}

/** One claimed rotation with everything its steps need. */
export interface Work {
  readonly id: string
  /** Of the database's clock. */
  readonly loadedAt: Date
  readonly epoch: number
  readonly batch: string
  readonly reason: string
  readonly oldAccount: string
  readonly newAccount: string
  readonly graceSeconds: number
  readonly override: { readonly by: string; readonly reason: string } | null
  /** Consumers that reported possession of the new value. */
  readonly reported: readonly string[]
  readonly credential: {
    id: string
    name: string
    /** Null for a root credential. */
    identity: string | null
    isRoot: boolean
    strategy: Strategy
    kekId: string
    wrappedKey: Uint8Array
  }
  readonly system: WorkSystem
  /** Systems that hold an account of this rotation, or may, and could be the same server; told only before the install. */
  readonly rivals: readonly Rival[]
  readonly root: { credentialId: string; kekId: string; wrappedKey: Uint8Array; versions: { id: string; sealed: Uint8Array }[] }
  old: WorkVersion
  fresh: WorkVersion | null
  readonly consumers: readonly WorkConsumer[]
  /** Consumers that get no new value, because whose they are is suspended or gone (`withoutLeavers`). */
  readonly leftOut: readonly WorkConsumer[]
  readonly progress: Progress
}

/** One transaction's worth of change to one rotation. */
export interface Commit {
  readonly id: string
  readonly epoch: number
  readonly credentialId: string
  readonly from: State
  readonly progress: Progress
  /** The newly staged version, inserted. */
  readonly stage: { id: string; account: string; sealed: Uint8Array; fingerprint: string } | null
  readonly versions: readonly VersionChange[]
  /** Milliseconds until the rotation is due again; null when it ended or is blocked. */
  readonly dueMs: number | null
  /** True while the same worker goes on with it. */
  readonly keepLease: boolean
  /** Sets the credential's next rotation by its schedule. */
  readonly reschedule: boolean
}

export interface VersionChange {
  readonly id: string
  /** Left out: as it is. */
  readonly state?: VersionState
  readonly installed_at?: Date
  readonly revoked_at?: Date
  readonly effective_dead_at?: Date
  readonly proved_dead_at?: Date
  readonly shred_after?: Date
  readonly last_probe?: KeptProbe
}

const PROGRESS_COLUMNS = `state text, blocked_from text, new_version_id uuid, attempt_step text, attempt_opened_at timestamptz, tries int,
  regenerations int, mark text, retire_mark text, sessions_ended int, problem jsonb, staged_at timestamptz, installed_at timestamptz,
  verified_at timestamptz, distributed_at timestamptz, activated_at timestamptz, retired_at timestamptz, proved_dead_at timestamptz,
  ended_at timestamptz, blocked_at timestamptz, gap_ms float8, recheck_at timestamptz, old_probe jsonb`
const PROGRESS_NAMES = PROGRESS_COLUMNS.split(',').map((column) => column.trim().split(' ')[0] ?? '')

/** Claims due rotations for this process (see `claim_rotations` in schema/) and resolves with their ids. */
export async function claim(sql: Sql, room: number, leaseMs: number, by: string): Promise<string[]> {
  const rows = await sql.query<{ id: string }>('select claim_rotations($1, $2, $3) as id', [room, leaseMs, by])
  return rows.map((row) => row.id)
}

/** What `TargetRow` holds, of the system `s` and its root credential `rc`. */
export const TARGET_COLUMNS = `s.id as system_id, s.name as system_name, s.connector, s.host, s.port, s.database, s.tls, s.ca,
         s.root_account, s.concurrent, s.place, s.server, ${metHere('s')} as met_here, s.server_epoch, s.root_matched,
         extract(epoch from statement_timestamp() - s.server_seen_at)::float8 as server_ago,
         rc.id as root_id, rc.kek_id as root_kek_id, rc.wrapped_key as root_wrapped_key,
         (select jsonb_agg(jsonb_build_object('id', v.id, 'sealed', encode(v.sealed, 'hex'))
                           order by v.state = 'current' desc, v.number desc)
            from version v
           where v.credential_id = rc.id and v.state in ('current', 'staged', 'previous') and v.sealed is not null) as root_versions`

/** Before the rotation changes anything, what the version was answered last; from then on, what it was answered before. */
const OLD_PROBE = `(select p.probe from (select coalesce(r.old_probe, ov.last_probe) as probe) p
           where p.probe ->> 'where' = s.place and p.probe ->> 'code' is distinct from '${ACCOUNT_ABSENT}')`

/** A root that is not met may be the account in another spelling. */
const RIVALS = `(select jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'server', o.known, 'matched', o.root_matched, 'held',
              coalesce((select jsonb_object_agg(a.name, ac.name) from account a join credential ac on ac.id = a.credential_id
                         where a.system_id = o.id and a.name in (r.old_account, r.new_account, m.root)), '{}')) order by o.name)
           from (select case when c.is_root then s.root_matched end as root) m
           join (select o.*, case when ${metHere('o')} then o.server end as known from system o) o on o.id in (
                select a.system_id from account a where a.name in (r.old_account, r.new_account, m.root)
                union select u.id from system u where u.root_matched in (r.old_account, r.new_account, m.root)
                union select u.id from system u where u.server_at is distinct from u.host || ':' || u.port
                         and split_part(u.root_account, '@', 1) in (split_part(r.old_account, '@', 1), split_part(r.new_account, '@', 1)))
          where o.id <> s.id and o.connector = s.connector and o.decommissioned_at is null and not s.server_apart and not o.server_apart
            and (s.server is null or o.known is null or s.server -> 'facts' = o.known -> 'facts'))`

const WORK = `
  select r.id, statement_timestamp() as loaded_at, r.lease_epoch as epoch, r.batch_id as batch,
         r.reason, r.old_account, r.new_account, r.grace_seconds, r.activation_override,
         ${PROGRESS_NAMES.map((name) => `r.${name}`).join(', ')},
         c.id as credential_id, c.name as credential_name, c.identity_id, c.is_root, c.strategy, c.kek_id, c.wrapped_key,
         ${TARGET_COLUMNS},
         ov.id as old_id, ov.number as old_number, ov.account as old_account_name, ov.sealed as old_sealed,
         ${OLD_PROBE} as old_before,
         case when r.state in ('planned', 'staged') then ${RIVALS} end as rivals,
         nv.id as new_id, nv.number as new_number, nv.account as new_account_name, nv.sealed as new_sealed,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'path', k.file_path, 'key', k.file_key, 'activation', k.activation,
                                              'identity', k.identity_id)
                           order by k.name)
            from consumer k where k.credential_id = c.id) as consumers,
         case when r.state = 'distributed'
              then (select array_agg(a.consumer_name) from activation a where a.rotation_id = r.id) end as reported
    from rotation r
    join credential c on c.id = r.credential_id
    join system s on s.id = c.system_id
    join credential rc on rc.system_id = s.id and rc.is_root
    left join version ov on ov.id = r.old_version_id
    left join version nv on nv.id = r.new_version_id
   where r.id = any($1::uuid[])`

/** Everything the steps need for these rotations, in one statement. */
export async function loadWork(sql: Sql, ids: readonly string[]): Promise<Work[]> {
  const rows = await sql.query<WorkRow>(WORK, [ids])
  return rows.map(workOf)
}

interface WorkRow extends Progress, TargetRow {
  id: string
  loaded_at: Date
  epoch: number
  batch: string
  reason: string
  old_account: string
  new_account: string
  grace_seconds: number
  activation_override: Work['override']
  credential_id: string
  credential_name: string
  identity_id: string | null
  is_root: boolean
  strategy: Strategy
  kek_id: string
  wrapped_key: Uint8Array
  old_id: string | null
  old_number: number
  old_account_name: string
  old_sealed: Uint8Array | null
  old_before: KeptProbe | null
  rivals: Rival[] | null
  new_id: string | null
  new_number: number
  new_account_name: string
  new_sealed: Uint8Array | null
  consumers: WorkConsumer[] | null
  reported: string[] | null
}

function workOf(row: WorkRow): Work {
  if (row.old_id === null) throw new RekeyError('internal', `Rotation ${row.id} has no old version.`)
  const progress = Object.fromEntries(PROGRESS_NAMES.map((name) => [name, row[name as keyof Progress]])) as unknown as Progress
  return {
    id: row.id,
    loadedAt: row.loaded_at,
    epoch: row.epoch,
    batch: row.batch,
    reason: row.reason,
    oldAccount: row.old_account,
    newAccount: row.new_account,
    graceSeconds: row.grace_seconds,
    override: row.activation_override,
    reported: row.reported ?? [],
    credential: {
      id: row.credential_id,
      name: row.credential_name,
      identity: row.identity_id,
      isRoot: row.is_root,
      strategy: row.strategy,
      kekId: row.kek_id,
      wrappedKey: row.wrapped_key,
    },
    ...targetOf(row),
    old: { id: row.old_id, number: row.old_number, account: row.old_account_name, sealed: row.old_sealed, ...seenBefore(row.old_before) },
    fresh:
      row.new_id === null
        ? null
        : { id: row.new_id, number: row.new_number, account: row.new_account_name, sealed: row.new_sealed, ...seenBefore(null) },
    rivals: row.rivals ?? [],
    consumers: row.consumers ?? [],
    leftOut: [],
    progress,
  }
}

/** What an answer from before the change says of a version. */
export function seenBefore(probe: KeptProbe | null): Pick<WorkVersion, 'seen' | 'probe'> {
  return { seen: probe?.outcome ?? null, probe }
}

/** Columns of a system and of its root credential, as the statements that load work name them. */
export interface TargetRow {
  system_id: string
  system_name: string
  connector: string
  host: string
  port: number
  database: string | null
  tls: Address['tls']
  ca: string | null
  root_account: string
  concurrent: number
  place: string
  server: StoredServer | null
  server_ago: number | null
  met_here: boolean
  server_epoch: number
  root_matched: string | null
  root_id: string
  root_kek_id: string
  root_wrapped_key: Uint8Array
  root_versions: { id: string; sealed: string }[] | null
}

/** The system and the root credential of a loaded row. */
export function targetOf(row: TargetRow): Pick<Work, 'system' | 'root'> {
  return {
    system: {
      id: row.system_id,
      name: row.system_name,
      connector: row.connector,
      address: addressOf(row),
      rootAccount: row.root_account,
      concurrent: row.concurrent,
      place: row.place,
      epoch: row.server_epoch,
      server: row.server,
      metHere: row.met_here,
      seenAgo: row.server_ago,
      rootMatched: row.root_matched,
    },
    root: {
      credentialId: row.root_id,
      kekId: row.root_kek_id,
      wrappedKey: row.root_wrapped_key,
      versions: (row.root_versions ?? []).map(({ id, sealed }) => ({ id, sealed: Buffer.from(sealed, 'hex') })),
    },
  }
}

/** The address of a system row, as connectors take it. */
export function addressOf(row: { host: string; port: number; database: string | null; tls: Address['tls']; ca: string | null }): Address {
  return {
    host: row.host,
    port: row.port,
    tls: row.tls,
    ...(row.database === null ? {} : { database: row.database }),
    ...(row.ca === null ? {} : { ca: row.ca }),
  }
}

/**
 * One statement, one transaction: rotations move if they are still where their worker left them (epoch and state), and only for
 * those that moved versions are staged and changed, credentials rescheduled, and evidence appended.
 */
const MOVE = `
  with input as materialized (
    select * from jsonb_to_recordset($1::jsonb)
      as i(id uuid, epoch int, "from" text, due_ms float8, keep_lease boolean, reschedule uuid, ${PROGRESS_COLUMNS})),
  moved as (
    update rotation r set ${PROGRESS_NAMES.map((name) => `${name} = i.${name}`).join(', ')},
           due_at = case when i.keep_lease then r.due_at else now() + make_interval(secs => i.due_ms / 1000) end,
           lease_until = case when i.keep_lease then r.lease_until end
      from input i where r.id = i.id and r.lease_epoch = i.epoch and r.state = i."from"
    returning r.id, r.new_version_id, i.reschedule),
  staged as (
    insert into version (id, credential_id, number, account, state, sealed, fingerprint)
    select i.id, i.credential, 1 + coalesce((select max(number) from version v where v.credential_id = i.credential), 0),
           i.account, 'staged', i.sealed, i.fingerprint
      from jsonb_to_recordset($2::jsonb) as i(id uuid, rotation uuid, credential uuid, account text, sealed bytea, fingerprint text)
      join moved m on m.id = i.rotation
    returning id, number),
  changed as (
    update version v set state = coalesce(i.state, v.state),
           installed_at = coalesce(i.installed_at, v.installed_at), revoked_at = coalesce(i.revoked_at, v.revoked_at),
           effective_dead_at = coalesce(i.effective_dead_at, v.effective_dead_at),
           proved_dead_at = coalesce(i.proved_dead_at, v.proved_dead_at),
           shred_after = coalesce(i.shred_after, v.shred_after), last_probe = coalesce(i.last_probe, v.last_probe)
      from jsonb_to_recordset($3::jsonb) as i(id uuid, rotation uuid, state text, installed_at timestamptz, revoked_at timestamptz,
           effective_dead_at timestamptz, proved_dead_at timestamptz, shred_after timestamptz, last_probe jsonb)
      join moved m on m.id = i.rotation
     where v.id = i.id),
  rescheduled as (
    update credential c set next_rotation_at = now() + make_interval(secs => c.every_seconds)
      from moved m where c.id = m.reschedule and c.every_seconds is not null),
  events as (
    select e.* from jsonb_to_recordset($4::jsonb) as e(rotation uuid, log text, subject text, at timestamptz, text text, n int)
      join moved m on m.id = e.rotation),
  appended as (${appendFrom('events')})
  select m.id, s.number from moved m left join staged s on s.id = m.new_version_id`

/** A commit and its sealed evidence. */
export interface SealedMove {
  readonly commit: Commit
  readonly events: readonly { readonly log: string; readonly subject: string; readonly at: string; readonly text: string }[]
}

/** A key that is missing reads as null in the statement: half the columns of a young rotation need not be sent or parsed. */
function withoutNulls(_key: string, value: unknown): unknown {
  return value === null ? undefined : value
}

/**
 * Writes many rotations' moves. Resolves with one entry per rotation that moved: the number of its newly staged version, if any.
 * One that is not in the map was changed by somebody else meanwhile: nothing of it is written.
 */
export async function commitMoves(sql: Sql, moves: readonly SealedMove[]): Promise<Map<string, number | null>> {
  const commits = moves.map((move) => move.commit)
  const rotations = commits.map(({ id, epoch, from, dueMs, keepLease, reschedule, credentialId, progress }) => ({
    id,
    epoch,
    from,
    due_ms: dueMs,
    keep_lease: keepLease,
    reschedule: reschedule ? credentialId : null,
    ...progress,
  }))
  const staged = commits.flatMap(({ id, credentialId, stage }) =>
    stage === null ? [] : [{ ...stage, rotation: id, credential: credentialId, sealed: `\\x${Buffer.from(stage.sealed).toString('hex')}` }],
  )
  const versions = commits.flatMap(({ id, versions }) => versions.map((version) => ({ ...version, rotation: id })))
  let n = 0
  const events = moves.flatMap(({ commit, events }) => events.map((event) => ({ rotation: commit.id, ...event, n: n++ })))
  const params = [JSON.stringify(rotations, withoutNulls), JSON.stringify(staged), JSON.stringify(versions), JSON.stringify(events)]
  const rows = await sql.query<{ id: string; number: number | null }>(MOVE, params)
  return new Map(rows.map((row) => [row.id, row.number]))
}

/** Who holds claims now. */
export async function leaseHolders(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ lease_by: string }>(
    'select distinct lease_by from rotation where lease_until > now() and lease_by is not null',
  )
  return rows.map((row) => row.lease_by)
}

/** Frees the claims of processes that are known to be dead. */
export async function freeLeases(sql: Sql, holders: readonly string[]): Promise<void> {
  await sql.query(
    'update rotation set lease_until = null, lease_epoch = lease_epoch + 1 where lease_by = any($1::text[]) and lease_until > now()',
    [holders],
  )
}

/**
 * Frees claims that stand under a worker's name and that it does not run: the answer to the claim was lost, or that to a commit, after
 * which it stopped. The worker itself calls it, between two claims.
 */
export async function freeStrays(sql: Sql, by: string, running: readonly string[]): Promise<void> {
  await sql.query(
    `update rotation set lease_until = null, lease_epoch = lease_epoch + 1
      where lease_by = $1 and lease_until > now() and not id = any($2::uuid[])`,
    [by, running],
  )
}

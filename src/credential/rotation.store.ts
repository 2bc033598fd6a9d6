import { RekeyError } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { Address, Strategy } from '../connectors/contract.ts'
import type { ActivationRule, VersionState } from './model.ts'
import type { State } from './rotation.model.ts'

const CLAIM_LOCK = 7_395_004

/** A version as the engine needs it. `sealed` is null if the value is unknown or shredded. */
export interface WorkVersion {
  readonly id: string
  readonly number: number
  readonly account: string
  readonly sealed: Uint8Array | null
}

export interface WorkConsumer {
  readonly name: string
  readonly path: string | null
  readonly key: string | null
  readonly activation: ActivationRule
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
}

/** One claimed rotation with everything its steps need. */
export interface Work {
  readonly id: string
  readonly epoch: number
  readonly batch: string
  readonly reason: string
  readonly oldAccount: string
  readonly newAccount: string
  readonly graceSeconds: number
  readonly override: { readonly by: string; readonly reason: string } | null
  /** Consumers that reported possession of the new value. */
  readonly reported: readonly string[]
  readonly credential: { id: string; name: string; isRoot: boolean; strategy: Strategy; kekId: string; wrappedKey: Uint8Array }
  readonly system: { id: string; name: string; connector: string; address: Address; rootAccount: string; concurrent: number }
  readonly root: { credentialId: string; kekId: string; wrappedKey: Uint8Array; versions: { id: string; sealed: Uint8Array }[] }
  readonly old: WorkVersion
  fresh: WorkVersion | null
  readonly consumers: readonly WorkConsumer[]
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
  readonly state: VersionState
  readonly installed_at?: Date
  readonly revoked_at?: Date
  readonly effective_dead_at?: Date
  readonly proved_dead_at?: Date
  readonly shred_after?: Date
  readonly last_probe?: { readonly outcome: string; readonly code: string; readonly at: string }
}

const PROGRESS_COLUMNS = `state text, blocked_from text, new_version_id uuid, attempt_step text, attempt_opened_at timestamptz, tries int,
  regenerations int, mark text, retire_mark text, sessions_ended int, problem jsonb, staged_at timestamptz, installed_at timestamptz,
  verified_at timestamptz, distributed_at timestamptz, activated_at timestamptz, retired_at timestamptz, proved_dead_at timestamptz,
  ended_at timestamptz, blocked_at timestamptz, gap_ms float8`
const PROGRESS_NAMES = PROGRESS_COLUMNS.split(',').map((column) => column.trim().split(' ')[0] ?? '')

/**
 * Claims due rotations, at most `room`, at most `concurrent` of each system counting those that other processes hold. Claims
 * follow one another by an advisory lock, so the limit holds over any number of processes; a lost claim costs one lease, hence no
 * fsync. Systems with due rows are found by skipping through the index, not by reading the queue.
 */
export async function claim(tx: Tx, room: number, leaseMs: number, by: string): Promise<string[]> {
  await tx.query('set local synchronous_commit = off')
  await tx.query('select pg_advisory_xact_lock($1)', [CLAIM_LOCK])
  const rows = await tx.query<{ id: string }>(
    `with recursive due_system as (
       (select system_id from rotation where due_at is not null order by system_id limit 1)
       union all
       select (select r.system_id from rotation r where r.due_at is not null and r.system_id > d.system_id order by r.system_id limit 1)
         from due_system d where d.system_id is not null),
     busy as (select system_id, count(*)::int as held from rotation where lease_until > now() group by system_id),
     chosen as (
       select picked.id from due_system d
         join system s on s.id = d.system_id
         left join busy b on b.system_id = d.system_id
         cross join lateral (
           select r.id, r.due_at from rotation r
            where r.system_id = d.system_id and r.due_at <= now() and (r.lease_until is null or r.lease_until <= now())
            order by r.due_at limit greatest(0, s.concurrent - coalesce(b.held, 0))) picked
        order by picked.due_at limit $1)
     update rotation r set lease_until = now() + make_interval(secs => $2::float8 / 1000), lease_epoch = lease_epoch + 1, lease_by = $3
       from chosen where r.id = chosen.id returning r.id`,
    [room, leaseMs, by],
  )
  return rows.map((row) => row.id)
}

const WORK = `
  select r.id, r.lease_epoch as epoch, r.batch_id as batch, r.reason, r.old_account, r.new_account, r.grace_seconds, r.activation_override,
         ${PROGRESS_NAMES.map((name) => `r.${name}`).join(', ')},
         c.id as credential_id, c.name as credential_name, c.is_root, c.strategy, c.kek_id, c.wrapped_key,
         s.id as system_id, s.name as system_name, s.connector, s.host, s.port, s.database, s.tls, s.ca, s.root_account, s.concurrent,
         rc.id as root_id, rc.kek_id as root_kek_id, rc.wrapped_key as root_wrapped_key,
         (select jsonb_agg(jsonb_build_object('id', v.id, 'sealed', encode(v.sealed, 'hex')) order by v.state = 'current' desc, v.number desc)
            from version v where v.credential_id = rc.id and v.state in ('current', 'staged', 'previous') and v.sealed is not null) as root_versions,
         ov.id as old_id, ov.number as old_number, ov.account as old_account_name, ov.sealed as old_sealed,
         nv.id as new_id, nv.number as new_number, nv.account as new_account_name, nv.sealed as new_sealed,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'path', k.file_path, 'key', k.file_key, 'activation', k.activation) order by k.name)
            from consumer k where k.credential_id = c.id) as consumers,
         case when r.state = 'distributed' then (select array_agg(a.consumer_name) from activation a where a.rotation_id = r.id) end as reported
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

interface WorkRow extends Progress {
  id: string
  epoch: number
  batch: string
  reason: string
  old_account: string
  new_account: string
  grace_seconds: number
  activation_override: Work['override']
  credential_id: string
  credential_name: string
  is_root: boolean
  strategy: Strategy
  kek_id: string
  wrapped_key: Uint8Array
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
  root_id: string
  root_kek_id: string
  root_wrapped_key: Uint8Array
  root_versions: { id: string; sealed: string }[] | null
  old_id: string | null
  old_number: number
  old_account_name: string
  old_sealed: Uint8Array | null
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
      isRoot: row.is_root,
      strategy: row.strategy,
      kekId: row.kek_id,
      wrappedKey: row.wrapped_key,
    },
    system: {
      id: row.system_id,
      name: row.system_name,
      connector: row.connector,
      address: addressOf(row),
      rootAccount: row.root_account,
      concurrent: row.concurrent,
    },
    root: {
      credentialId: row.root_id,
      kekId: row.root_kek_id,
      wrappedKey: row.root_wrapped_key,
      versions: (row.root_versions ?? []).map(({ id, sealed }) => ({ id, sealed: Buffer.from(sealed, 'hex') })),
    },
    old: { id: row.old_id, number: row.old_number, account: row.old_account_name, sealed: row.old_sealed },
    fresh: row.new_id === null ? null : { id: row.new_id, number: row.new_number, account: row.new_account_name, sealed: row.new_sealed },
    consumers: row.consumers ?? [],
    progress,
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
 * Writes many rotations' moves in the caller's transaction and resolves with the ids that moved, and the numbers of newly staged
 * versions. One that did not move was changed by somebody else meanwhile (its epoch or state is another): nothing of it is written.
 */
export async function commitMoves(tx: Tx, commits: readonly Commit[], leaseMs: number): Promise<{ moved: Set<string>; numbers: Map<string, number> }> {
  const moved = await lockMovable(tx, commits)
  const going = commits.filter((commit) => moved.has(commit.id))
  const numbers = await insertVersions(tx, going)
  await updateRotations(tx, going, leaseMs)
  const changes = going.flatMap((commit) => commit.versions)
  // Two passes: at no moment may a credential have two current versions.
  await updateVersions(tx, changes.filter((change) => change.state !== 'current'))
  await updateVersions(tx, changes.filter((change) => change.state === 'current'))
  await reschedule(tx, going.filter((commit) => commit.reschedule).map((commit) => commit.credentialId))
  return { moved, numbers }
}

async function lockMovable(tx: Tx, commits: readonly Commit[]): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }>(
    `select r.id from rotation r join jsonb_to_recordset($1::jsonb) as i(id uuid, epoch int, "from" text)
       on r.id = i.id and r.lease_epoch = i.epoch and r.state = i."from" for update of r`,
    [JSON.stringify(commits.map(({ id, epoch, from }) => ({ id, epoch, from })))],
  )
  return new Set(rows.map((row) => row.id))
}

async function insertVersions(tx: Tx, commits: readonly Commit[]): Promise<Map<string, number>> {
  const staged = commits.flatMap((commit) =>
    commit.stage === null ? [] : [{ ...commit.stage, credential: commit.credentialId, sealed: `\\x${Buffer.from(commit.stage.sealed).toString('hex')}` }],
  )
  if (staged.length === 0) return new Map()
  const rows = await tx.query<{ id: string; number: number }>(
    `insert into version (id, credential_id, number, account, state, sealed, fingerprint)
     select i.id, i.credential, 1 + coalesce((select max(number) from version v where v.credential_id = i.credential), 0), i.account, 'staged', i.sealed, i.fingerprint
       from jsonb_to_recordset($1::jsonb) as i(id uuid, credential uuid, account text, sealed bytea, fingerprint text)
     returning id, number`,
    [JSON.stringify(staged)],
  )
  return new Map(rows.map((row) => [row.id, row.number]))
}

const UPDATE_ROTATIONS = `
  update rotation r set ${PROGRESS_NAMES.map((name) => `${name} = i.${name}`).join(', ')},
         due_at = case when i.due_ms is null then null else now() + make_interval(secs => i.due_ms / 1000) end,
         lease_until = case when i.keep_lease then now() + make_interval(secs => $2::float8 / 1000) end
    from jsonb_to_recordset($1::jsonb) as i(id uuid, due_ms float8, keep_lease boolean, ${PROGRESS_COLUMNS})
   where r.id = i.id`

async function updateRotations(tx: Tx, commits: readonly Commit[], leaseMs: number): Promise<void> {
  if (commits.length === 0) return
  const rows = commits.map(({ id, dueMs, keepLease, progress }) => ({ id, due_ms: dueMs, keep_lease: keepLease, ...progress }))
  await tx.query(UPDATE_ROTATIONS, [JSON.stringify(rows), leaseMs])
}

async function updateVersions(tx: Tx, changes: readonly VersionChange[]): Promise<void> {
  if (changes.length === 0) return
  await tx.query(
    `update version v set state = i.state, installed_at = coalesce(i.installed_at, v.installed_at), revoked_at = coalesce(i.revoked_at, v.revoked_at),
            effective_dead_at = coalesce(i.effective_dead_at, v.effective_dead_at), proved_dead_at = coalesce(i.proved_dead_at, v.proved_dead_at),
            shred_after = coalesce(i.shred_after, v.shred_after), last_probe = coalesce(i.last_probe, v.last_probe)
       from jsonb_to_recordset($1::jsonb) as i(id uuid, state text, installed_at timestamptz, revoked_at timestamptz, effective_dead_at timestamptz,
            proved_dead_at timestamptz, shred_after timestamptz, last_probe jsonb)
      where v.id = i.id`,
    [JSON.stringify(changes)],
  )
}

async function reschedule(tx: Tx, credentialIds: readonly string[]): Promise<void> {
  if (credentialIds.length === 0) return
  await tx.query('update credential set next_rotation_at = now() + make_interval(secs => every_seconds) where id = any($1::uuid[]) and every_seconds is not null', [
    credentialIds,
  ])
}

/** Who holds claims now. */
export async function leaseHolders(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ lease_by: string }>('select distinct lease_by from rotation where lease_until > now() and lease_by is not null')
  return rows.map((row) => row.lease_by)
}

/** Frees the claims of processes that are known to be dead. */
export async function freeLeases(sql: Sql, holders: readonly string[]): Promise<void> {
  await sql.query('update rotation set lease_until = null, lease_epoch = lease_epoch + 1 where lease_by = any($1::text[]) and lease_until > now()', [holders])
}

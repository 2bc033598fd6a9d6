import type { Tx } from '../store/index.ts'
import { ALIVE } from './inventory.store.ts'
import type { State } from './rotation.model.ts'

/** A system, locked. */
export interface LockedSystem {
  readonly id: string
  readonly decommissioned: boolean
}

/** Locks a system and its credentials against new rotations; null if there is none by that name. */
export async function lockSystem(tx: Tx, name: string): Promise<LockedSystem | null> {
  const [row] = await tx.query<LockedSystem>(
    'select id, decommissioned_at is not null as decommissioned from system where name = $1 for update',
    [name],
  )
  if (row) await tx.query('select id from credential where system_id = $1 order by id for update', [row.id])
  return row ?? null
}

export interface LiveRotation {
  readonly id: string
  readonly credential_id: string
  readonly credential: string
  readonly state: State
  readonly old_version_id: string
  readonly held: boolean
}

/** Rotations of the system that have not ended, locked. */
export async function liveRotations(tx: Tx, system: string): Promise<LiveRotation[]> {
  return tx.query(
    `select r.id, r.credential_id, c.name as credential, r.state, r.old_version_id, coalesce(r.lease_until > now(), false) as held
       from rotation r join credential c on c.id = r.credential_id
      where c.system_id = $1 and r.ended_at is null order by c.name for update of r`,
    [system],
  )
}

export interface Remaining {
  readonly id: string
  readonly number: number
  readonly state: string
  readonly credential_id: string
  readonly credential: string
  readonly is_root: boolean
}

/** Versions of the system's credentials that could still authenticate. */
export async function remainingVersions(tx: Tx, system: string): Promise<Remaining[]> {
  return tx.query(
    `select v.id, v.number, v.state, v.credential_id, c.name as credential, c.is_root
       from version v join credential c on c.id = v.credential_id
      where c.system_id = $1 and v.state in ${ALIVE} order by c.name, v.number`,
    [system],
  )
}

/** Ends what is left of a system: its versions in `state`, destroyed after `seconds`, its rotations, its schedules, and itself. */
export async function giveUp(
  tx: Tx,
  system: string,
  versions: readonly { readonly id: string; readonly state: 'unprovable' | 'irrevocable' }[],
  rotations: readonly string[],
  reason: string,
  seconds: number,
): Promise<void> {
  await tx.query(
    `update version v set state = i.state, shred_after = now() + make_interval(secs => $2)
       from jsonb_to_recordset($1::jsonb) as i(id uuid, state text) where v.id = i.id`,
    [JSON.stringify(versions), seconds],
  )
  await tx.query(
    `update rotation set state = 'not_provable', blocked_from = null, blocked_at = null, due_at = null, ended_at = now(),
            lease_until = null, lease_epoch = lease_epoch + 1, recheck_at = null, problem = jsonb_build_object('reason', $2::text)
      where id = any($1::uuid[])`,
    [rotations, reason],
  )
  await tx.query('update credential set next_rotation_at = null where system_id = $1', [system])
  await tx.query('update system set decommissioned_at = now() where id = $1', [system])
}

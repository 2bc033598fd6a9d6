import type { Probe } from '../connectors/contract.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { NewVersion } from './inventory.store.ts'
import { noSystem } from './resources.ts'

/** A system's root credential, locked, with its version in use. */
export interface LockedRoot {
  readonly id: string
  readonly name: string
  readonly account: string
  readonly kek_id: string
  readonly wrapped_key: Uint8Array
  readonly last_number: number
  readonly rotating: boolean
  readonly decommissioned: boolean
  readonly current_id: string | null
  readonly current_number: number | null
  readonly current_fingerprint: string | null
  /** The system's place: its address, and which server there by a human's word. */
  readonly where: string
  /** True if the value in use was seen to be accepted at this address: only then does a refusal of it now prove that it died. */
  readonly current_worked: boolean
}

/**
 * Locked against rotations and decommission. Throws `not_found` if there is no such system. In two statements: one that waits for a lock
 * does not see the rotation that began meanwhile.
 */
export async function lockRoot(tx: Tx, system: string): Promise<LockedRoot> {
  await tx.query('select c.id from system s join credential c on c.system_id = s.id and c.is_root where s.name = $1 for update of s, c', [
    system,
  ])
  const [row] = await tx.query<LockedRoot>(
    `select c.id, c.name, s.root_account as account, c.kek_id, c.wrapped_key, s.decommissioned_at is not null as decommissioned,
            (select coalesce(max(v.number), 0) from version v where v.credential_id = c.id) as last_number,
            exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null) as rotating,
            cv.id as current_id, cv.number as current_number, cv.fingerprint as current_fingerprint,
            s.place as "where",
            coalesce((cv.installed_at is not null or cv.last_probe ->> 'outcome' = 'accepted')
                     and cv.last_probe ->> 'where' = s.place, false) as current_worked
       from system s join credential c on c.system_id = s.id and c.is_root
       left join version cv on cv.credential_id = c.id and cv.state = 'current'
      where s.name = $1`,
    [system],
  )
  if (row === undefined) throw noSystem(system)
  return row
}

/** A value that a human gave, before it is tried. If nothing comes of it, it is destroyed after `seconds` by itself. */
export async function insertTried(tx: Tx, version: NewVersion, seconds: number): Promise<void> {
  const { id, credential, number, account, sealed, fingerprint } = version
  await tx.query(
    `insert into version (id, credential_id, number, account, state, sealed, fingerprint, shred_after)
     values ($1, $2, $3, $4, 'staged', $5, $6, now() + make_interval(secs => $7))`,
    [id, credential, number, account, sealed === null ? null : Buffer.from(sealed), fingerprint, seconds],
  )
}

/** The value of a tried version is destroyed at once: it was refused, or it came to nothing. False if it was gone already. */
export async function voidTried(tx: Tx, id: string): Promise<boolean> {
  const rows = await tx.query(
    `update version set state = 'void', sealed = null, shredded_at = now(), shred_after = null
      where id = $1 and state = 'staged' returning id`,
    [id],
  )
  return rows.length === 1
}

/** A probe as a version's row keeps it, with the address at which it was made. */
export type KeptProbe = Probe & { readonly at: string; readonly where: string }

/** How the value before ends when another takes its place. */
export interface OldEnd {
  readonly id: string
  readonly state: 'dead' | 'unprovable'
  readonly probe: KeptProbe | null
  /** Of the proof of death; null if there is none. */
  readonly provedDeadAt: Date | null
  readonly shredSeconds: number
}

/** Makes a tried version the one in use. False if it is gone. */
export async function acceptTried(tx: Tx, id: string, probe: KeptProbe, old: OldEnd | null): Promise<boolean> {
  const rows = await tx.query(
    "update version set state = 'current', shred_after = null, last_probe = $2::jsonb where id = $1 and state = 'staged' returning id",
    [id, JSON.stringify(probe)],
  )
  if (rows.length === 1 && old !== null) {
    await tx.query(
      `update version set state = $2, last_probe = coalesce($3::jsonb, last_probe), effective_dead_at = $4, proved_dead_at = $4,
              shred_after = now() + make_interval(secs => $5) where id = $1`,
      [old.id, old.state, old.probe && JSON.stringify(old.probe), old.provedDeadAt, old.shredSeconds],
    )
  }
  return rows.length === 1
}

/** Fingerprint and ciphertext of one version. */
export async function sealedOf(sql: Sql, id: string): Promise<Uint8Array | null> {
  const [row] = await sql.query<{ sealed: Uint8Array | null }>('select sealed from version where id = $1', [id])
  return row?.sealed ?? null
}

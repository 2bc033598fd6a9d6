import type { Json } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import type { VersionChange } from './rotation.store.ts'

/** Columns of a rotation's row that never change again once it has ended. */
const RECORDED = [
  'state',
  'credential_id',
  'system_id',
  'batch_id',
  'reason',
  'old_version_id',
  'new_version_id',
  'old_account',
  'new_account',
  'grace_seconds',
  'regenerations',
  'mark',
  'retire_mark',
  'sessions_ended',
  'staged_at',
  'installed_at',
  'verified_at',
  'distributed_at',
  'activated_at',
  'retired_at',
  'proved_dead_at',
  'ended_at',
  'gap_ms',
] as const

/** What a rotation's row says for good. Times to the millisecond. */
export type RotationRecord = { readonly [column in (typeof RECORDED)[number]]: string | number | Date | null }

export const RECORD_COLUMNS = RECORDED.map((column) => `r.${column}`).join(', ')

/** One digest over the row of an ended rotation: the event of its end tells it, and `rekey fsck` computes it again from the table. */
export function rotationDigest(row: RotationRecord): string {
  return digestHex(JSON.stringify(RECORDED.map((column) => row[column])))
}

/** The digests of rotations as they stand in the table, by id; for ends that a statement made and no worker. */
export async function rotationDigests(sql: Sql, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await sql.query<RotationRecord & { id: string }>(
    `select r.id, ${RECORD_COLUMNS} from rotation r where r.id = any($1::uuid[])`,
    [ids],
  )
  return new Map(rows.map((row) => [row.id, rotationDigest(row)]))
}

/** A row of `version` as events tell of it: columns that are not told yet are missing; `true`: some time, set by the database's clock. */
export interface VersionColumns {
  readonly [column: string]: string | number | null | true
}

/** What a move stores in version rows, by id, for its event; null if it stores nothing. What was last probed is told by itself. */
export function storedVersions(
  stage: { readonly id: string; readonly account: string; readonly fingerprint: string } | null,
  changes: readonly VersionChange[],
): { readonly [id: string]: Json } | null {
  const stored: Record<string, Record<string, Json>> = {}
  if (stage !== null) stored[stage.id] = { state: 'staged', account: stage.account, fingerprint: stage.fingerprint }
  for (const { id, last_probe: _, ...columns } of changes) {
    const told = Object.entries(columns).map(([column, value]) => [column, value instanceof Date ? value.toISOString() : value])
    if (told.length > 0) stored[id] = { ...stored[id], ...Object.fromEntries(told) }
  }
  return Object.keys(stored).length === 0 ? null : stored
}

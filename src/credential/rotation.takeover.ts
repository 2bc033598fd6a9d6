/** How a closure gets an account out of the hands of a rotation that is under way or blocked on it. */
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { rotationDigests } from './record.ts'
import { type Held, lockRotation } from './rotation.list.ts'
import { ENDS, NEXT } from './rotation.model.ts'
import { NUDGE } from './worker.channel.ts'

/** The lock under which `claim_rotations` chooses (schema/0003): a claim comes wholly before what is done here, or wholly after. */
const CLAIM_LOCK = 7_395_004

async function lockedRotation(tx: Tx, id: string): Promise<Held | null> {
  await tx.query('select pg_advisory_xact_lock($1)', [CLAIM_LOCK])
  const row = await lockRotation(tx, id)
  return row === null || ENDS.includes(row.state) ? null : row
}

function eventOf(id: string, row: Held, type: string, data: Record<string, Json>): EvidenceEvent {
  const links = { credential: row.credential_id, rotation: id, system: row.system_id }
  return { log: 'credential', type, subject: row.credential_name, links, data: { from: row.state, ...data } }
}

/**
 * Lets no worker go on with a rotation, and nobody start or retry one of its credential, until `unparkRotation` or `endTakenOver`. What it
 * has staged is kept. False, and nothing is changed, while a worker is in a step of it.
 */
export async function parkRotation(tx: Tx, ctx: Ctx, id: string): Promise<boolean> {
  const row = await lockedRotation(tx, id)
  if (row === null) return true
  if (row.held) return false
  await tx.query('update credential set closed_at = coalesce(closed_at, now()) where id = $1', [row.credential_id])
  await tx.query('update rotation set due_at = null, lease_epoch = lease_epoch + 1 where id = $1', [id])
  await append(tx, ctx, [eventOf(id, row, 'rotation.parked', {})])
  return true
}

/** Lets a parked rotation go on from where it stands; a blocked one waits for its human as before. */
export async function unparkRotation(tx: Tx, ctx: Ctx, id: string): Promise<void> {
  const row = await lockedRotation(tx, id)
  if (row === null || row.held) return
  if (row.state !== 'blocked') await tx.query('update rotation set due_at = now() where id = $1', [id])
  await append(tx, ctx, [eventOf(id, row, 'rotation.unparked', {})])
  await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
}

/**
 * Ends a rotation because its account is ended as a whole. Its versions stay as they are, with their values: whoever ends the account
 * proves each of them dead or says why not. Throws `conflict` while a worker is in a step of it.
 */
export async function endTakenOver(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<void> {
  const row = await lockedRotation(tx, id)
  if (row === null) return
  if (row.held) throw new RekeyError('conflict', 'A worker is busy with this rotation.', { hint: 'Try again in a moment.' })
  if (!NEXT[row.state].includes('taken_over')) throw new RekeyError('internal', `No rotation is taken over from ${row.state}.`)
  await tx.query(
    `update rotation set state = 'taken_over', blocked_from = null, blocked_at = null, due_at = null, ended_at = now(), lease_until = null,
            lease_epoch = lease_epoch + 1, attempt_step = null, attempt_opened_at = null, recheck_at = null,
            problem = jsonb_build_object('reason', $2::text)
      where id = $1`,
    [id, reason],
  )
  const record = (await rotationDigests(tx, [id])).get(id) ?? null
  await append(tx, ctx, [eventOf(id, row, 'rotation.taken_over', { reason, stored: { rotation: record, recheck: false } })])
}

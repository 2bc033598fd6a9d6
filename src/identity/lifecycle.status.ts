import { append } from '../evidence/index.ts'
import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { supersedeOffboardings } from './approval.supersede.ts'
import { ownersOf, rememberOwners } from './behind.former.ts'
import { dropCodesOf } from './code.store.ts'
import { handOverPerson, settleHandovers } from './lifecycle.handover.ts'
import { identityEvent } from './lifecycle.owners.ts'
import { checkReason, type IdentityStatus, NEXT_STATUS } from './record.model.ts'
import { lockIdentity, lockRecord, queueChange, type Row, updateRow } from './record.store.ts'
import { tellRoads } from './road.ts'
import { endSessionsOf } from './session.ts'
import { handOverCrews } from './team.emptied.ts'
import { teamsAbove } from './team.store.ts'

const VERBS = { suspended: 'identity.suspended', active: 'identity.resumed', offboarded: 'identity.offboarded' } as const

/**
 * Suspends an identity on a directory's word: what it holds must stop working, and can be given back. Status, event (`identity.suspended`)
 * and the row that `dueChanges` shows are one transaction. Resolves with whether anything changed: a suspended one is left alone. Throws
 * `not_found`; `wrong_state` if it is offboarded.
 */
export async function suspendIdentity(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  return moveStatus(tx, ctx, await locked(tx, id), 'suspended', reason)
}

/**
 * Suspends an identity on a person's word, as `suspendIdentity`; one that a directory suspended is barred from now on too
 * (`identity.barred`), so that the directory's `active` does not bring back whom a person keeps out.
 */
export async function barIdentity(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  const row = await locked(tx, id)
  if (row.status !== 'suspended') return moveStatus(tx, ctx, row, 'suspended', reason, true)
  if (row.barred) return false
  await updateRow(tx, { ...row, barred: true })
  await append(tx, ctx, [identityEvent('identity.barred', row, { reason })])
  return true
}

/**
 * Takes a suspension back (`identity.resumed`), whoever ordered it; the reverse of `suspendIdentity`, with the same promises. Ownership
 * that was handed over stays where it went.
 */
export async function resumeIdentity(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  return moveStatus(tx, ctx, await locked(tx, id), 'active', reason)
}

/**
 * Takes a suspension back on a directory's word, as `resumeIdentity`, unless a person keeps the identity out: that is on record then
 * (`identity.resume_refused`), and nothing changes.
 */
export async function resumeUnlessBarred(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  const row = await locked(tx, id)
  if (!row.barred) return moveStatus(tx, ctx, row, 'active', reason)
  await append(tx, ctx, [identityEvent('identity.resume_refused', row, { reason })])
  return false
}

/**
 * A leaver: what the person owns is handed over (manager, else a team that still has people, else the person's own owner, else the
 * security contact), and so is what their teams own in which nobody else answers (`handOverCrews`), with a finding for each, and the
 * identity is suspended (`identity.left`, then as `suspendIdentity`). Resolves with
 * whether anything changed. Throws as `suspendIdentity`.
 */
export async function leaveIdentity(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  await lockRecord(tx, 'alone')
  const row = await locked(tx, id)
  if (row.status === 'offboarded') throw wrongState(row, 'suspended')
  if (row.left_at !== null) return false
  const left = { ...row, left_at: ctx.clock.now() }
  await updateRow(tx, left)
  await append(tx, ctx, [identityEvent('identity.left', row, { reason })])
  if (row.kind === 'human') await handOverPerson(tx, ctx, left, 'left')
  if (row.kind === 'human') await handOverCrews(tx, ctx, left, 'left')
  await moveStatus(tx, ctx, await locked(tx, id), 'suspended', reason)
  return true
}

/**
 * Ends an identity for good (`identity.offboarded`): what it still owns is handed over as by `leaveIdentity`, and nothing leads back.
 * Only the status; who drives its credentials to their end reads `dueChanges`. Resolves with whether anything changed: an offboarded
 * one is left alone. Throws `not_found`.
 */
export async function offboardIdentity(tx: Tx, ctx: Ctx, id: string, reason: string): Promise<boolean> {
  checkReason(reason)
  await lockRecord(tx, 'alone')
  const row = await locked(tx, id)
  if (row.status === 'offboarded') return false
  if (row.kind === 'human') await handOverPerson(tx, ctx, row, 'offboarded')
  if (row.kind === 'human') await handOverCrews(tx, ctx, row, 'offboarded')
  return moveStatus(tx, ctx, await locked(tx, id), 'offboarded', reason)
}

async function moveStatus(tx: Tx, ctx: Ctx, row: Row, to: IdentityStatus, reason: string, barred = false): Promise<boolean> {
  if (row.status === to) return false
  if (!NEXT_STATUS[row.status].includes(to)) throw wrongState(row, to)
  const now = ctx.clock.now()
  const back = to === 'active'
  // Whoever comes back to a team ends that it was one human's.
  if (back && row.kind === 'human') {
    const crews = (await teamsAbove(tx, row.id)).map(({ id }) => id)
    await rememberOwners(tx, ctx, await ownersOf(tx, { crews }))
  }
  await updateRow(tx, { ...row, status: to, left_at: back ? null : row.left_at, barred: barred || (row.barred && !back) })
  const change = await queueChange(tx, row.id, back ? 'resumed' : to, reason, now)
  await append(tx, ctx, [identityEvent(VERBS[to], row, { from: row.status, reason, change, ...(barred && { barred }) })])
  if (to === 'offboarded') await settleHandovers(tx, [row.id], now)
  // Also so that none of them comes back with a resumption.
  if (!back) {
    await endSessionsOf(tx, ctx, row.id, to)
    await dropCodesOf(tx, row.id)
  }
  if (to === 'offboarded') {
    await supersedeOffboardings(tx, ctx, row.id)
    await tellRoads(tx, ctx, row)
  }
  return true
}

function wrongState({ name, status }: Row, to: IdentityStatus): RekeyError {
  return new RekeyError('wrong_state', `${name} is ${status} and cannot become ${to}.`, {
    hint: 'Offboarding is final: who comes back joins as a new identity.',
  })
}

async function locked(tx: Tx, id: string): Promise<Row> {
  const row = await lockIdentity(tx, id)
  if (row === null) throw new RekeyError('not_found', `No such identity: ${id}`)
  return row
}
